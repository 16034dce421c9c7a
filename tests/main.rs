//! All integration tests, as one binary. A file per area; what they share is in `harness`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy knows only `#[test]` functions as tests, not what they call"
)]

mod activity;
mod acts;
mod architecture;
mod archives;
mod arguments;
mod boot;
mod check;
mod checklist;
mod checks;
mod commands;
mod concurrency;
mod containers;
mod contents;
mod conversations;
mod copies;
mod crash;
mod devices;
mod dry_run;
mod editors;
mod escapes;
mod events;
mod examples;
mod faults;
mod full_disk;
mod guest;
mod handles;
mod harness;
mod harness_itself;
mod health;
mod hostile;
mod images;
mod indexes;
mod info;
mod inits;
mod interrupts;
mod job_notices;
mod job_scripts;
mod job_triggers;
mod jobs;
mod kills;
mod layers;
mod licences;
mod lifetimes;
mod logs;
mod metrics;
mod mounts;
mod mutations;
mod namespaces;
mod nursery;
mod oci;
mod outside;
mod permissions;
mod pipelines;
mod plans;
mod power_cut;
mod privileged;
mod progress;
mod prompt;
mod pull;
mod pushes;
mod readme;
mod registries;
mod runtime;
mod schedules;
mod scheduling;
mod script_tests;
mod scripts;
mod seccomp;
mod secrets;
mod server;
mod terminals;
mod transfers;
mod trash;
mod usage;
mod users;
mod volumes;
