//! What each native function may do to the world: the one table from which dry-run, permissions and documentation follow.

/// A kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads the store.
    Read,
    /// Adds to the store or changes what is there.
    Write,
    /// Removes from the store.
    Delete,
    /// Starts or signals processes.
    Exec,
    /// Uses the network.
    Net,
    /// Reads or changes files outside the store.
    Fs,
}

impl Effect {
    /// The name in documentation and flags.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Write => "write",
            Effect::Delete => "delete",
            Effect::Exec => "exec",
            Effect::Net => "net",
            Effect::Fs => "fs",
        }
    }
}

const PURE: &[Effect] = &[];
const FS: &[Effect] = &[Effect::Fs];
const READ: &[Effect] = &[Effect::Read];
const WRITE: &[Effect] = &[Effect::Write];
const DELETE: &[Effect] = &[Effect::Delete];
const EXEC: &[Effect] = &[Effect::Exec];

/// Every native function, as documentation names it: `namespace::name`, `Type.method`, `name`. Getters and operators are pure.
const EFFECTS: &[(&str, &[Effect])] = &[
    // Globals and methods.
    ("Container.commit", WRITE),
    ("Container.copy_in", &[Effect::Write, Effect::Fs]),
    ("Container.copy_out", &[Effect::Read, Effect::Fs]),
    ("Container.diff", READ),
    ("Container.exec", EXEC),
    ("Container.export_tar", &[Effect::Read, Effect::Fs]),
    ("Container.inspect", READ),
    ("Container.kill", EXEC),
    ("Container.follow", READ),
    ("Container.logs", READ),
    ("Container.pause", EXEC),
    ("Container.read_blob", READ),
    ("Container.read_file", READ),
    ("Container.reload", READ),
    ("Container.remove", &[Effect::Delete, Effect::Exec]),
    ("Container.rename", WRITE),
    ("Container.restart", EXEC),
    ("Container.start", EXEC),
    ("Container.stop", EXEC),
    ("Container.stats", READ),
    ("Container.top", READ),
    ("Container.unpause", EXEC),
    ("Container.update", WRITE),
    ("Container.wait", READ),
    ("Container.write_file", WRITE),
    ("Duration.abs", PURE),
    ("Image.history", READ),
    ("Image.inspect", READ),
    ("Image.reload", READ),
    ("Image.remove", DELETE),
    ("Image.save", &[Effect::Read, Effect::Fs]),
    ("Image.tag", WRITE),
    ("Image.untag", DELETE),
    ("Run.blob", PURE),
    ("Run.json", PURE),
    ("Run.lines", PURE),
    ("Run.text", PURE),
    ("Server.stop", &[Effect::Net]),
    ("Time.format", PURE),
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
    ("retry", PURE),
    ("sleep", PURE),
    ("string.lines", PURE),
    ("string.pad_left", PURE),
    ("string.pad_right", PURE),
    ("string.shell_quote", PURE),
    ("string.trimmed", PURE),
    ("table", PURE),
    ("timeout", PURE),
    // Namespaces.
    ("args::parse", PURE),
    ("assert::eq", PURE),
    ("assert::matches", PURE),
    ("assert::ne", PURE),
    ("assert::ok", PURE),
    ("assert::throws", PURE),
    ("container::create", WRITE),
    ("container::exists", READ),
    ("container::find", READ),
    ("container::get", READ),
    ("container::list", READ),
    ("container::prune", DELETE),
    ("container::run", &[Effect::Write, Effect::Exec]),
    ("container::run_detached", &[Effect::Write, Effect::Exec]),
    ("container::select", READ),
    ("env::all", PURE),
    ("env::get", PURE),
    ("env::has", PURE),
    ("fs::append", FS),
    ("fs::basename", PURE),
    ("fs::copy", FS),
    ("fs::dirname", PURE),
    ("fs::exists", FS),
    ("fs::glob", FS),
    ("fs::is_dir", FS),
    ("fs::is_file", FS),
    ("fs::join", PURE),
    ("fs::list", FS),
    ("fs::mkdir", FS),
    ("fs::read", FS),
    ("fs::read_blob", FS),
    ("fs::read_lines", FS),
    ("fs::remove", FS),
    ("fs::rename", FS),
    ("fs::size", FS),
    ("fs::temp_dir", FS),
    ("fs::temp_file", FS),
    ("fs::write", FS),
    ("fs::write_blob", FS),
    ("glob::filter", PURE),
    ("glob::matches", PURE),
    ("hash::sha256", PURE),
    ("hash::sha256_file", FS),
    ("image::diff", READ),
    ("image::exists", READ),
    ("image::files", READ),
    ("image::find", READ),
    ("image::from_host", &[Effect::Write, Effect::Fs]),
    ("image::get", READ),
    ("image::history", READ),
    ("image::import_tar", &[Effect::Write, Effect::Fs]),
    ("image::inspect", READ),
    ("image::list", READ),
    ("image::load", &[Effect::Write, Effect::Fs]),
    ("image::prune", DELETE),
    ("image::pull", &[Effect::Write, Effect::Net]),
    ("image::remove", DELETE),
    ("image::save", &[Effect::Read, Effect::Fs]),
    ("image::select", READ),
    ("image::tag", WRITE),
    ("image::untag", DELETE),
    ("json::parse", PURE),
    ("json::parse_lines", PURE),
    ("json::pretty", PURE),
    ("json::stringify", PURE),
    ("log::trace", PURE),
    ("log::error", PURE),
    ("log::info", PURE),
    ("log::warn", PURE),
    ("regex::captures", PURE),
    ("regex::escape", PURE),
    ("regex::find", PURE),
    ("regex::find_all", PURE),
    ("regex::is_match", PURE),
    ("regex::replace", PURE),
    ("regex::split", PURE),
    (
        "registry::serve",
        &[Effect::Read, Effect::Write, Effect::Delete, Effect::Net],
    ),
    ("semver::compare", PURE),
    ("semver::is_valid", PURE),
    ("semver::parse", PURE),
    ("semver::satisfies", PURE),
    ("semver::sort", PURE),
    ("system::boot", EXEC),
    ("system::df", READ),
    ("system::events", READ),
    ("system::info", READ),
    ("system::check", &[Effect::Read, Effect::Write, Effect::Delete]),
    ("time::from_unix", PURE),
    ("time::now", PURE),
    ("time::parse", PURE),
];

/// The effects of a function; `None` when the table has no row for it.
pub fn of(name: &str) -> Option<&'static [Effect]> {
    EFFECTS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The names in the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    EFFECTS.iter().map(|row| row.0)
}
