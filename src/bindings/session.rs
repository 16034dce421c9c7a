//! The session: what every native function can reach, carried by the interpreter as its tag.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use rhai::{FnPtr, NativeCallContext};

use super::command::Invoked;
use super::console::{Console, Format, Level};
use super::fake::World;
use super::files::{Files, Judge, View};
use super::gate::Place;
use super::planning::{Recorder, unforeseen};
use super::progress::Board;
use super::scope;
use crate::config::{Config, Demand, Given, Permissions, Rule, Target};
use crate::error::{Error, Result};
use crate::host::{Audit, Host, Outside, Plan};
use crate::model::{Context, Effect};
use crate::server::registry::Server;

/// What a session starts from.
pub struct Settings {
    /// Where the store is, and whether this is a dry run.
    pub config: Config,
    /// Cancels the whole run.
    pub context: Context,
    /// Where words go.
    pub console: Arc<dyn Console>,
    /// How values are shown.
    pub format: Format,
    /// What is logged at least.
    pub level: Level,
    /// The script's arguments.
    pub args: Vec<String>,
    /// What they tell, by the names that the script's header declares.
    pub told: Vec<(String, Given)>,
    /// The command that it is, if it is one: then it can do what only commands can.
    pub command: Option<Invoked>,
    /// Where every effect is told.
    pub audit: Option<Arc<Audit>>,
    /// Whether the person at the terminal is asked for what is not allowed.
    pub ask: bool,
    /// Whether what a dry run would do is written down as a plan.
    pub planning: bool,
    /// What a test has in the place of the outside; nothing elsewhere.
    pub world: Option<Arc<World>>,
}

struct Inner {
    settings: Settings,
    plan: Option<Arc<Plan>>,
    host: OnceLock<Host>,
    outside: OnceLock<Outside>,
    opening: Mutex<()>,
    deferred: Mutex<Vec<FnPtr>>,
    temporary: Mutex<Vec<PathBuf>>,
    servers: Mutex<Vec<Server>>,
    files: Files,
    exit: Mutex<Option<u8>>,
    output: Mutex<Output>,
    permissions: RwLock<Permissions>,
    /// What the person at the terminal has allowed for the rest of the run.
    granted: Mutex<Vec<(Effect, Target)>>,
    recorder: Option<Recorder>,
    /// Where the script calls what a plan does now.
    place: Mutex<Option<Place>>,
    board: Board,
    /// What was said of results that are not known.
    foreseen: Mutex<HashSet<String>>,
}

/// What standard output carries.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Output {
    #[default]
    Nothing,
    Words,
    /// Bytes among which no word may come.
    Archive,
}

/// One run of a script or one REPL. Clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

impl Session {
    /// A session; nothing is opened before a function needs it.
    pub fn new(settings: Settings) -> Session {
        let plan = settings.config.dry_run.then(|| Arc::new(Plan::new()));
        Session(Arc::new(Inner {
            permissions: RwLock::new(settings.config.permissions.clone()),
            granted: Mutex::default(),
            recorder: settings.planning.then(Recorder::default),
            foreseen: Mutex::default(),
            place: Mutex::default(),
            board: Board::default(),
            settings,
            plan,
            host: OnceLock::new(),
            outside: OnceLock::new(),
            opening: Mutex::default(),
            deferred: Mutex::default(),
            temporary: Mutex::default(),
            servers: Mutex::default(),
            files: Files::default(),
            exit: Mutex::default(),
            output: Mutex::default(),
        }))
    }

    /// A session beside this one, in which everything is a dry run.
    pub fn imagined(&self) -> Session {
        let settings = self.settings();
        let mut config = settings.config.clone();
        config.dry_run = true;
        Session::new(Settings {
            config,
            context: settings.context.clone(),
            console: settings.console.clone(),
            format: settings.format,
            level: settings.level,
            args: settings.args.clone(),
            told: settings.told.clone(),
            command: None,
            audit: settings.audit.clone(),
            ask: settings.ask,
            planning: false,
            world: settings.world.clone(),
        })
    }

    /// A session in which scripts are only read: nothing can be printed, and no store is opened.
    pub fn unopened() -> Result<Session> {
        Ok(Session::new(Settings {
            config: Config::new(Some(PathBuf::from("/")), None, true)?,
            context: Context::new(),
            console: Arc::new(super::console::Recorder::default()),
            format: Format::Table,
            level: Level::Error,
            args: Vec::new(),
            told: Vec::new(),
            command: None,
            audit: None,
            ask: false,
            planning: false,
            world: None,
        }))
    }

    /// A session for a script that another one runs, on the same store; without a dry run of its own it is the same host.
    pub fn beside(&self, settings: Settings) -> Result<Session> {
        let session = Session::new(settings);
        match session.plan() {
            None => drop(session.0.host.set(self.host()?.clone())),
            Some(_) => self.host()?.share_stage(session.host()?),
        }
        Ok(session)
    }

    /// The world of the test that runs, if one does.
    pub fn world(&self) -> Option<&World> {
        self.0.settings.world.as_deref()
    }

    /// The world of the test, if it plays what containers do.
    pub(super) fn stage(&self) -> Option<&World> {
        self.world().filter(|world| world.plays() && self.plan().is_none())
    }

    /// The session of a native call.
    pub fn of(ctx: &NativeCallContext) -> Session {
        let tag = ctx.tag().and_then(|tag| tag.clone().try_cast::<Session>());
        tag.expect("the engine carries its session as the tag of every run")
    }

    /// The host, opened on first use.
    pub fn host(&self) -> Result<&Host> {
        let _one = lock(&self.0.opening);
        if self.0.host.get().is_none() {
            let mut config = self.0.settings.config.clone();
            config.permissions = self.permissions().clone();
            let host = Host::open(&config, self.0.plan.clone())?;
            let _ = self.0.host.set(host);
        }
        Ok(self.0.host.get().expect("set just above, under the lock"))
    }

    /// Other machines, as a function of this name may ask them.
    pub(super) fn outside(&self, function: &'static str) -> Outside {
        let outside = self.0.outside.get_or_init(|| Outside::new(self.0.plan.clone()));
        if self.permissions().is_open() {
            return outside.clone();
        }
        let session = self.clone();
        outside.judged(move |host| session.allow(function, &Demand::new(Effect::Net, Target::Host(host.to_owned()))))
    }

    /// What is done from here on can be undone without what was done before.
    pub fn begin_run(&self) {
        if let Some(host) = self.0.host.get() {
            host.begin_run();
        }
    }

    /// Takes over what the script's header says it needs, before anything else is done.
    ///
    /// Errors: `denied` for what the command line forbids.
    pub fn declare(&self, needs: Option<Vec<Rule>>) -> Result<()> {
        match needs {
            None => Ok(()),
            Some(needs) => {
                let mut permissions = self.0.permissions.write().unwrap_or_else(PoisonError::into_inner);
                permissions.declare(needs)
            }
        }
    }

    fn permissions(&self) -> RwLockReadGuard<'_, Permissions> {
        self.0.permissions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls have to be looked at before they are made.
    pub fn is_watched(&self) -> bool {
        self.plan().is_some() || self.0.settings.audit.is_some() || !self.permissions().is_open()
    }

    /// Where a plan is written down; `None` unless one is made.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.0.recorder.as_ref()
    }

    /// Has what is called from now on be told as called there.
    pub fn set_place(&self, place: Place) {
        *lock(&self.0.place) = Some(place);
    }

    /// Where what is called now is told as called, if that is not where it is called.
    pub(super) fn place(&self) -> Option<Place> {
        lock(&self.0.place).clone()
    }

    /// Says that a script relies on what a dry run does not know. Errors: `unsupported`, where a plan is made: it cannot hold it.
    pub fn foresee(&self, what: &str, place: &Place) -> Result<()> {
        if self.recorder().is_some() {
            return Err(unforeseen(what, "it is not known before the command is run"));
        }
        let place = match (&place.script, place.position) {
            (Some(script), Some((line, _))) => format!("{script}:{line}: "),
            _ => String::new(),
        };
        let words = format!(
            "{place}{what} is not known in a dry run, and taken as empty: what follows from it may be otherwise"
        );
        if lock(&self.0.foreseen).insert(words.clone()) {
            self.log(Level::Warn, &words);
        }
        Ok(())
    }

    /// Whether the audit could not be told something.
    pub fn audit_failed(&self) -> bool {
        self.0.settings.audit.as_deref().is_some_and(Audit::has_failed)
    }

    /// Whether an act is allowed, by a rule or by the person at the terminal. Errors: `denied`.
    pub fn allow(&self, function: &str, demand: &Demand) -> Result<()> {
        let Err(error) = self.permissions().check(function, demand) else {
            return Ok(());
        };
        let wish = (demand.effect, demand.target.clone());
        if !self.0.settings.ask || error.way_out().is_some_and(|hint| hint.contains("--deny-")) {
            return Err(error);
        }
        let mut granted = lock(&self.0.granted);
        if granted.contains(&wish) {
            return Ok(());
        }
        let question = format!("{error}: allow it? [y]es, [a]lways in this run, [N]o: ");
        let answer = self
            .0
            .settings
            .console
            .ask(&question)
            .ok()
            .flatten()
            .unwrap_or_default();
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            "a" | "always" => {
                granted.push(wish);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Whether a path, links followed, is one of the run's own temporary files or in one.
    fn is_temporary(&self, path: &Path) -> bool {
        let own = lock(&self.0.temporary);
        own.iter().any(|own| match Target::file(own) {
            Target::Path(own) => path.starts_with(own),
            _ => false,
        })
    }

    /// The context of the operation this thread is in.
    pub fn context(&self) -> Context {
        scope::current().unwrap_or_else(|| self.0.settings.context.clone())
    }

    /// The context of the whole run.
    pub fn root_context(&self) -> &Context {
        &self.0.settings.context
    }

    /// The plan that mutations go to under dry-run; `None` when they are carried out.
    pub fn plan(&self) -> Option<&Plan> {
        self.0.plan.as_deref()
    }

    /// The files of this machine as the script sees them.
    pub fn files(&self) -> View<'_> {
        View {
            files: &self.0.files,
            plan: self.plan(),
            context: self.context(),
            judge: (!self.permissions().is_open()).then(|| -> Judge<'_> {
                Box::new(|path| self.allow("fs::copy", &Demand::new(Effect::Fs, self.file(path))))
            }),
        }
    }

    /// Whether a file that an option names may be read. Errors: `denied`.
    pub(super) fn may_read(&self, path: &Path) -> Result<()> {
        self.allow("fs::read", &Demand::new(Effect::Fs, self.file(path)))
    }

    /// A file as what permissions are about.
    pub fn file(&self, path: &Path) -> Target {
        match Target::file(path) {
            Target::Path(path) if self.is_temporary(&path) => Target::Own(path),
            target => target,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The command that runs. Errors: `unsupported` in a script that is none.
    pub fn invoked(&self) -> Result<&Invoked> {
        let invoked = self.0.settings.command.as_ref();
        invoked.ok_or_else(|| Error::unsupported("only a command can do that, and this is a script"))
    }

    /// Writes data, then ends the script quietly if nobody reads it any more, as a shell's pipeline does.
    ///
    /// Beside an archive on standard output it is said on standard error.
    ///
    /// In a branch of several each line is marked; the text is to end with one then.
    pub fn print(&self, text: &str) {
        let text = &*scope::marked(text);
        let mut output = lock(&self.0.output);
        // Beside a plan what the script prints is talk, too.
        if *output == Output::Archive || self.recorder().is_some() {
            return self.0.settings.console.talk(text.trim_end_matches('\n'));
        }
        *output = Output::Words;
        drop(output);
        if self.0.settings.console.data(text).is_err() {
            self.set_exit(0);
            self.root_context().cancel();
        }
    }

    /// Does work that writes an archive to `path`. Where that is `-`, standard output is the archive's alone from then on.
    ///
    /// Errors: `conflict` if it carries something already.
    pub fn write_archive<T>(&self, path: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // A dry run writes elsewhere.
        if path != "-" || self.plan().is_some() {
            let done = work()?;
            self.imagine_file(path)?;
            return Ok(done);
        }
        {
            let mut output = lock(&self.0.output);
            match *output {
                Output::Nothing => *output = Output::Archive,
                Output::Words => {
                    return Err(
                        Error::conflict("standard output carries what the script printed already")
                            .hint("say it by `log::info`, which goes to standard error"),
                    );
                }
                Output::Archive => {
                    return Err(Error::conflict("standard output carries an archive already")
                        .hint("save several images at once by an array of them"));
                }
            }
        }
        work().inspect_err(|_| *lock(&self.0.output) = Output::Words)
    }

    /// Has the files of a dry run show what the host would have written.
    pub fn imagine_file(&self, path: &str) -> Result<()> {
        match self.plan().and(self.host()?.written(Path::new(path))) {
            Some(written) => self.files().imagine(Path::new(path), written),
            None => Ok(()),
        }
    }

    /// Says a line at a level, if it is important enough.
    pub fn log(&self, level: Level, text: &str) {
        if level >= self.0.settings.level {
            let text = scope::marked(text);
            self.0.settings.console.talk(&format!("{}: {text}", level.name()));
        }
    }

    /// Where all that is under way is shown.
    pub(super) fn board(&self) -> &Board {
        &self.0.board
    }

    /// Whether somebody sees how far something is.
    pub fn has_status(&self) -> bool {
        Level::Info >= self.0.settings.level && self.0.settings.console.has_status()
    }

    /// Sets the exit code, the first time it is called.
    pub fn set_exit(&self, code: u8) {
        lock(&self.0.exit).get_or_insert(code);
    }

    /// The exit code the script asked for.
    pub fn exit_code(&self) -> Option<u8> {
        *lock(&self.0.exit)
    }

    /// Keeps a closure for the end of the script.
    pub fn defer(&self, closure: FnPtr) {
        lock(&self.0.deferred).push(closure);
    }

    /// Takes the closure deferred last.
    pub fn take_deferred(&self) -> Option<FnPtr> {
        lock(&self.0.deferred).pop()
    }

    /// Keeps a path to be removed at the end of the script.
    pub fn keep_temporary(&self, path: PathBuf) {
        lock(&self.0.temporary).push(path);
    }

    /// Keeps a server until the end of the script.
    pub fn keep_server(&self, server: Server) {
        lock(&self.0.servers).push(server);
    }

    /// Stops all servers, after requests under way.
    pub fn stop_servers(&self) {
        for server in std::mem::take(&mut *lock(&self.0.servers)) {
            server.stop();
        }
    }

    /// Removes temporary files and directories; what cannot be removed is logged.
    pub fn remove_temporaries(&self) {
        for path in std::mem::take(&mut *lock(&self.0.temporary)) {
            let removed = match path.symlink_metadata() {
                Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(_) => Ok(()),
            };
            if let Err(cause) = removed {
                self.log(Level::Warn, &format!("failed to remove `{}`: {cause}", path.display()));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
