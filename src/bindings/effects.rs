//! What each native function may do to the world, and to what: the one table from which permissions, the audit, dry-run, plans and
//! the badges of the documentation follow.

use std::collections::HashMap;
use std::sync::LazyLock;

pub use crate::model::Effect;
use Effect::{Delete, Exec, Fs, Net, Pull, Push, Read, Run, Write};
use Of::{
    Any, Bases, Container, Each, Extra, From, Gathered, Glob, Host, Image, ImageOf, Indexed, Listen, Mailer, Name,
    NewName, Options, Own, Path, Posted, Program, Repair, Retagged, Searched, Sent, Served, To, Url, Volume,
    WholeImage,
};

/// What names the target of an effect. Numbers are places of arguments; the receiver of a method is at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Nothing does.
    Any,
    /// What it comes to, which is judged then.
    Each,
    /// An image: a name, an id, an `Image`, or an array of them.
    Image(usize),
    /// An image that goes with all its names, unless it is meant by one of several.
    WholeImage(usize),
    /// The image a container is of.
    ImageOf(usize),
    /// A name of an image, here or at a registry.
    Name(usize),
    /// A name that an image is given.
    NewName(usize),
    /// An image, and the name it is sent under, if that is another.
    Sent(usize, usize),
    /// A name at a registry, and the tag put beside its own.
    Retagged(usize, usize),
    /// What is copied from: a name at a registry, a layout, or an `Image`.
    From(usize),
    /// What is copied to.
    To(usize),
    /// An index, and the name it is set under, if that is another.
    Indexed(usize, usize),
    /// What an index takes its images from: registries, layouts, images of the store.
    Gathered(usize),
    /// The bases that the options name.
    Bases,
    /// The repository that tags are deleted of, if the options say so.
    Extra(usize),
    /// A container: a name, an id or a `Container`.
    Container(usize),
    /// What the options of a container give away of the machine.
    Options,
    /// A registry.
    Host(usize),
    /// The registry that a term names, or the options.
    Searched(usize),
    /// A path, or an array of them.
    Path(usize),
    /// The directory that a pattern of paths begins in.
    Glob(usize),
    /// A temporary file or directory of the script's own.
    Own,
    /// The address that is listened on, and the registry that is stood before.
    Listen,
    /// All that is served, if the option of this name says so.
    Served(&'static str),
    /// The store, if the options say that it is to be repaired.
    Repair,
    /// The machine that an address of HTTP names.
    Url(usize),
    /// The same, for what may change something there.
    Posted(usize),
    /// The program of this machine that a command names.
    Program(usize),
    /// The program that sends mail.
    Mailer,
    /// A volume: a name, or a `Volume`.
    Volume(usize),
}

/// An effect, and what names its target.
pub type Act = (Effect, Of);

const PURE: &[Act] = &[];

/// Every native function, as documentation names it: `namespace::name`, `Type.method`, `name`. Getters and operators are pure.
#[rustfmt::skip]
const EFFECTS: &[(&str, &[Act])] = &[
    ("Container.commit", &[(Write, NewName(1))]),
    ("Container.copy_in", &[(Write, Container(0)), (Fs, Path(1))]),
    ("Container.copy_out", &[(Read, Container(0)), (Fs, Path(2))]),
    ("Container.diff", &[(Read, Container(0))]),
    ("Container.exec", &[(Exec, Container(0))]),
    ("Container.exec_detached", &[(Exec, Container(0))]),
    ("Container.export_tar", &[(Read, Container(0)), (Fs, Path(1))]),
    ("Container.inspect", &[(Read, Container(0))]),
    ("Container.kill", &[(Exec, Container(0))]),
    ("Container.follow", &[(Read, Container(0))]),
    ("Container.logs", &[(Read, Container(0))]),
    ("Container.pause", &[(Exec, Container(0))]),
    ("Container.read_blob", &[(Read, Container(0))]),
    ("Container.read_file", &[(Read, Container(0))]),
    ("Container.reload", &[(Read, Container(0))]),
    ("Container.remove", &[(Delete, Container(0))]),
    ("Container.rename", &[(Write, Container(0))]),
    ("Container.restart", &[(Exec, Container(0))]),
    ("Container.start", &[(Run, ImageOf(0))]),
    ("Container.stop", &[(Exec, Container(0))]),
    ("Container.stats", &[(Read, Container(0))]),
    ("Container.top", &[(Read, Container(0))]),
    ("Container.unpause", &[(Exec, Container(0))]),
    ("Container.update", &[(Write, Container(0))]),
    ("Container.wait", &[(Read, Container(0))]),
    ("Container.write_file", &[(Write, Container(0))]),
    ("Duration.abs", PURE),
    ("Image.history", &[(Read, Image(0))]),
    ("Image.inspect", &[(Read, Image(0))]),
    ("Image.push", &[(Read, Image(0)), (Push, Sent(0, 1))]),
    ("Image.reload", &[(Read, Image(0))]),
    ("Image.remove", &[(Delete, WholeImage(0))]),
    ("Image.save", &[(Read, Image(0)), (Fs, Path(1))]),
    ("Image.tag", &[(Read, Image(0)), (Write, NewName(1))]),
    ("Image.untag", &[(Delete, Name(1))]),
    ("Index.add", &[(Net, From(1))]),
    ("Index.annotate", PURE),
    ("Index.push", &[(Push, Indexed(0, 1)), (Net, Gathered(0))]),
    ("Index.remove", PURE),
    ("Progress.done", PURE),
    ("Progress.label", PURE),
    ("Progress.step", PURE),
    ("Run.blob", PURE),
    ("Run.json", PURE),
    ("Run.lines", PURE),
    ("Run.text", PURE),
    ("Response.blob", PURE),
    ("Response.header", PURE),
    ("Response.json", PURE),
    ("Response.text", PURE),
    ("Server.stop", PURE),
    ("Time.format", PURE),
    ("Volume.load", &[(Write, Volume(0)), (Fs, Path(1))]),
    ("Volume.reload", &[(Read, Any)]),
    ("Volume.remove", &[(Delete, Volume(0))]),
    ("Volume.save", &[(Read, Any), (Fs, Path(1))]),
    ("array.chunk", PURE),
    ("array.flatten", PURE),
    ("array.group_by", PURE),
    ("array.join", PURE),
    ("array.max_by", PURE),
    ("array.min_by", PURE),
    ("array.partition", PURE),
    ("array.skip", PURE),
    ("array.sort_by", PURE),
    ("array.sort_natural", PURE),
    ("array.sum", PURE),
    ("array.sum_by", PURE),
    ("array.take", PURE),
    ("array.unique", PURE),
    ("array.unique_by", PURE),
    ("attempt", PURE),
    ("confirm", PURE),
    ("defer", PURE),
    ("duration", PURE),
    ("exit", PURE),
    ("format_bytes", PURE),
    ("map.entries", PURE),
    ("parallel", PURE),
    ("parallel_map", PURE),
    ("parse_bytes", PURE),
    ("progress", PURE),
    ("retry", PURE),
    ("sleep", PURE),
    ("string.lines", PURE),
    ("string.pad_left", PURE),
    ("string.pad_right", PURE),
    ("string.shell_quote", PURE),
    ("string.trimmed", PURE),
    ("table", PURE),
    ("timeout", PURE),
    ("args::parse", PURE),
    ("assert::eq", PURE),
    ("assert::matches", PURE),
    ("assert::ne", PURE),
    ("assert::ok", PURE),
    ("assert::throws", PURE),
    ("container::create", &[(Run, Image(0)), (Run, Options)]),
    ("container::exists", &[(Read, Container(0))]),
    ("container::find", &[(Read, Container(0))]),
    ("container::get", &[(Read, Container(0))]),
    ("container::list", &[(Read, Any)]),
    ("container::prune", &[(Delete, Each)]),
    ("container::run", &[(Run, Image(0)), (Run, Options)]),
    ("container::run_detached", &[(Run, Image(0)), (Run, Options)]),
    ("container::select", &[(Read, Any)]),
    ("csv::format", PURE),
    ("csv::parse", PURE),
    ("env::all", PURE),
    ("env::get", PURE),
    ("env::has", PURE),
    ("fake::calls", PURE),
    ("fake::container", PURE),
    ("fake::exec", PURE),
    ("fake::http", PURE),
    ("fake::image", PURE),
    ("fake::registry", PURE),
    ("fake::script", PURE),
    ("fs::append", &[(Fs, Path(0))]),
    ("fs::basename", PURE),
    ("fs::copy", &[(Fs, Path(0)), (Fs, Path(1))]),
    ("fs::dirname", PURE),
    ("fs::exists", &[(Fs, Path(0))]),
    ("fs::glob", &[(Fs, Glob(0))]),
    ("fs::is_dir", &[(Fs, Path(0))]),
    ("fs::is_file", &[(Fs, Path(0))]),
    ("fs::join", PURE),
    ("fs::list", &[(Fs, Path(0))]),
    ("fs::mkdir", &[(Fs, Path(0))]),
    ("fs::read", &[(Fs, Path(0))]),
    ("fs::read_blob", &[(Fs, Path(0))]),
    ("fs::read_lines", &[(Fs, Path(0))]),
    ("fs::remove", &[(Fs, Path(0))]),
    ("fs::rename", &[(Fs, Path(0)), (Fs, Path(1))]),
    ("fs::size", &[(Fs, Path(0))]),
    ("fs::temp_dir", &[(Fs, Own)]),
    ("fs::temp_file", &[(Fs, Own)]),
    ("fs::write", &[(Fs, Path(0))]),
    ("fs::write_blob", &[(Fs, Path(0))]),
    ("glob::filter", PURE),
    ("glob::matches", PURE),
    ("hash::sha256", PURE),
    ("hash::sha256_file", &[(Fs, Path(0))]),
    ("host::exec", &[(Exec, Program(0))]),
    ("http::delete", &[(Net, Posted(0))]),
    ("http::get", &[(Net, Url(0))]),
    ("http::head", &[(Net, Url(0))]),
    ("http::patch", &[(Net, Posted(0))]),
    ("http::post", &[(Net, Posted(0))]),
    ("http::put", &[(Net, Posted(0))]),
    ("image::diff", &[(Read, Image(0)), (Read, Image(1))]),
    ("image::exists", &[(Read, Image(0))]),
    ("image::files", &[(Read, Image(0))]),
    ("image::find", &[(Read, Image(0))]),
    ("image::from_host", &[(Write, NewName(0)), (Fs, Path(1))]),
    ("image::get", &[(Read, Image(0))]),
    ("image::history", &[(Read, Image(0))]),
    ("image::import_tar", &[(Write, NewName(1)), (Fs, Path(0))]),
    ("image::inspect", &[(Read, Image(0))]),
    ("image::list", &[(Read, Any)]),
    ("image::load", &[(Write, Any), (Fs, Path(0))]),
    ("image::prune", &[(Delete, Each)]),
    ("image::pull", &[(Pull, Name(0))]),
    ("image::push", &[(Read, Image(0)), (Push, Sent(0, 1))]),
    ("image::remove", &[(Delete, WholeImage(0))]),
    ("image::save", &[(Read, Image(0)), (Fs, Path(1))]),
    ("image::search", &[(Net, Searched(0))]),
    ("image::select", &[(Read, Any)]),
    ("image::tag", &[(Read, Image(0)), (Write, NewName(1))]),
    ("image::untag", &[(Delete, Name(0))]),
    ("job::add", &[(Write, Any)]),
    ("job::get", &[(Read, Any)]),
    ("job::history", &[(Read, Any)]),
    ("job::list", &[(Read, Any)]),
    ("job::next", &[(Read, Any)]),
    ("job::pause", &[(Write, Any)]),
    ("job::remove", &[(Delete, Any)]),
    ("job::resume", &[(Write, Any)]),
    ("job::run", &[(Exec, Any)]),
    ("json::parse", PURE),
    ("json::parse_lines", PURE),
    ("json::pretty", PURE),
    ("json::stringify", PURE),
    ("log::trace", PURE),
    ("log::error", PURE),
    ("log::info", PURE),
    ("log::warn", PURE),
    ("notify::mail", &[(Exec, Mailer)]),
    ("notify::slack", &[(Net, Posted(0))]),
    ("notify::webhook", &[(Net, Posted(0))]),
    ("regex::captures", PURE),
    ("regex::escape", PURE),
    ("regex::find", PURE),
    ("regex::find_all", PURE),
    ("regex::is_match", PURE),
    ("regex::replace", PURE),
    ("regex::split", PURE),
    ("registry::cached", &[(Read, Any)]),
    ("registry::copy", &[(Net, From(0)), (Push, To(1))]),
    ("registry::delete", &[(Delete, Name(0))]),
    ("registry::delete_tag", &[(Delete, Name(0))]),
    ("registry::digest", &[(Net, From(0))]),
    ("registry::exists", &[(Net, From(0))]),
    ("registry::index", &[(Net, From(0))]),
    ("registry::inspect", &[(Net, From(0))]),
    ("registry::limits", &[(Net, Host(0))]),
    ("registry::login", &[(Write, Host(0)), (Net, Host(0))]),
    ("registry::logout", &[(Write, Host(0))]),
    ("registry::manifest", &[(Net, From(0))]),
    ("registry::mirror", &[(Net, From(0)), (Push, To(1)), (Delete, Extra(1))]),
    ("registry::mutate", &[(Net, From(0)), (Push, To(1)), (Net, Bases)]),
    ("registry::prune", &[(Delete, Any)]),
    ("registry::prune_cache", &[(Delete, Any)]),
    ("registry::referrers", &[(Net, From(0))]),
    ("registry::repos", &[(Net, Host(0))]),
    ("registry::tag", &[(Push, Retagged(0, 1))]),
    ("registry::tags", &[(Net, From(0))]),
    ("registry::serve", &[(Net, Listen), (Write, Served("write")), (Delete, Served("delete"))]),
    ("secret::cmd", &[(Exec, Any)]),
    ("secret::env", PURE),
    ("secret::file", &[(Fs, Path(0))]),
    ("semver::compare", PURE),
    ("semver::is_valid", PURE),
    ("semver::parse", PURE),
    ("semver::satisfies", PURE),
    ("semver::sort", PURE),
    ("system::boot", &[(Run, Any)]),
    ("system::df", &[(Read, Any)]),
    ("system::disk", &[(Read, Any)]),
    ("system::empty_trash", &[(Delete, Any)]),
    ("system::events", &[(Read, Any)]),
    ("system::info", &[(Read, Any)]),
    ("system::check", &[(Read, Any), (Write, Repair), (Delete, Repair)]),
    ("system::trash", &[(Read, Any)]),
    ("system::undo", &[(Write, Each)]),
    ("time::from_unix", PURE),
    ("time::now", PURE),
    ("time::parse", PURE),
    ("toml::parse", PURE),
    ("volume::create", &[(Write, Volume(0))]),
    ("volume::exists", &[(Read, Any)]),
    ("volume::find", &[(Read, Any)]),
    ("volume::get", &[(Read, Any)]),
    ("volume::list", &[(Read, Any)]),
    ("volume::prune", &[(Delete, Each)]),
    ("volume::remove", &[(Delete, Volume(0))]),
    ("volume::select", &[(Read, Any)]),
    ("yaml::format", PURE),
    ("yaml::parse", PURE),
    ("yaml::parse_all", PURE),
];

/// What a function does, by its name.
pub fn acts(name: &str) -> Option<&'static [Act]> {
    static ROWS: LazyLock<HashMap<&str, &[Act]>> = LazyLock::new(|| EFFECTS.iter().copied().collect());
    ROWS.get(name).copied()
}

/// The effects of a function, each once; `None` when the table has no row for it.
pub fn of(name: &str) -> Option<Vec<Effect>> {
    let mut effects: Vec<Effect> = acts(name)?.iter().map(|act| act.0).collect();
    effects.dedup();
    Some(effects)
}

/// The effects that every call of a function has, whatever its options say, but reading, which is always allowed.
pub fn certain(name: &str) -> Vec<Effect> {
    let depends = |of: &Of| {
        matches!(
            of,
            Of::From(_)
                | Of::To(_)
                | Of::Bases
                | Of::Extra(_)
                | Of::Options
                | Of::Own
                | Of::Listen
                | Of::Served(_)
                | Of::Repair
        )
    };
    let acts = acts(name).unwrap_or_default().iter();
    acts.filter(|(effect, of)| *effect != Effect::Read && !depends(of))
        .map(|act| act.0)
        .collect()
}

/// The names in the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    EFFECTS.iter().map(|row| row.0)
}

/// Whether a function leaves the store, registries, containers and files as they are.
pub fn only_looks(name: &str) -> bool {
    let looks_at_files = [
        "fs::exists",
        "fs::glob",
        "fs::is_dir",
        "fs::is_file",
        "fs::list",
        "fs::read",
        "fs::read_blob",
        "fs::read_lines",
        "fs::size",
        "hash::sha256_file",
        "secret::file",
    ];
    let acts = acts(name).unwrap_or_default();
    looks_at_files.contains(&name)
        || acts
            .iter()
            .all(|(effect, of)| matches!((effect, of), (Read | Net, _)) && !matches!(of, Listen | Posted(_)))
}
