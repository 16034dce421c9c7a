# `just` lists these; each is a line or two that can be typed by hand.

musl := arch() + "-unknown-linux-musl"

_default:
    @just --list --unsorted

# Everything CI does: install what is needed, lint, make the inputs, test. As root.
ci:
    .ci/run

# The tests, or those whose name contains FILTER. The inputs must be there: `just inputs`.
test *FILTER:
    cargo test --lib --test suite -- {{ FILTER }}

# A fuzzer on one target, such as `just fuzz layer -runs=1000000`; needs cargo-fuzz (`cargo install cargo-fuzz`). As root.
fuzz TARGET *FLAGS:
    cp Cargo.lock fuzz/Cargo.lock
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{ TARGET }} -- -max_len=8192 -timeout=25 -rss_limit_mb=2048 {{ FLAGS }}

# The archives of other tools that the tests read.
inputs:
    tests/inputs/make

# Formatting and clippy, as CI runs them.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- --deny warnings

fmt:
    cargo fmt

# The API of the library, for those who work on it.
doc:
    cargo doc --no-deps --document-private-items --open

# Side by side with podman and crun, as ratios: `just bench start run load`.
bench *CASES:
    cargo bench --bench peers -- {{ CASES }}

# The static binary, in target/MUSL/release/hoist.
release:
    rustup target add {{ musl }}
    CC_{{ replace(musl, "-", "_") }}=musl-gcc cargo build --release --locked --target {{ musl }} --bin hoist

# A build and the tour of what it can do. As root.
tour:
    cargo run --release --locked -- run scripts/tour.rhai
