//! The functions scripts call. One namespace, one file, one `#[export_module]`, one line in [`NAMESPACES`].
//!
//! A binding has no ideas of its own: it unpacks its arguments, calls the host, and converts the result.
//!
//! ```ignore
//! /// Finds an image by reference, id or digest; `()` when there is none.
//! ///
//! /// Throws `invalid` when an id prefix fits several images.
//! ///
//! /// ```rhai
//! /// assert::eq(image::find("no/such:image"), ());
//! /// ```
//! #[rhai_fn(return_raw)]
//! pub fn find(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
//!     native(&ctx, |session| Ok(or_unit(session.host()?.find_image(&session.context(), name)?)))
//! }
//! ```
//!
//! - [`failure::native`] gives the [`Session`] and turns the host's error into a thrown `Error` with position and operation.
//! - [`options::parse`] turns a `#{…}` into the host's options struct; closures come out first, by [`options::Options::closure`], and are
//!   called by [`closure::call`].
//! - The receiver of a method or getter is called `this`: by that name documentation and completion know it for one. Functions that
//!   are not for scripts stand outside the `#[export_module]`, which would refuse their `&` parameters.
//! - What changes anything asks [`Session::plan`] first, or leaves that to the host: under dry-run it is recorded instead.
//! - Results are `INT`, `FLOAT`, `bool`, strings, [`value::list`], [`value::or_unit`], [`value::from_serde`], or an [`object::Object`],
//!   listed in [`objects`].
//! - Every function has a row in [`effects`], by which [`gate`] lets it be called; getters and operators have none and must be pure.
//! - The doc comment is the manual: a first sentence that stands alone, what is thrown, the options, then an example in a `rhai` fence,
//!   which runs as a test. Flags in the fence (`rhai,images`, `rhai,throws=not_found`, `rhai,no_run`) say what it needs.

#![allow(
    clippy::unwrap_used,
    reason = "`#[export_module]` unpacks arguments, whose types the interpreter has checked, by `unwrap`"
)]

pub mod card;
pub mod closure;
pub mod command;
pub mod console;
mod demand;
pub mod effects;
pub mod failure;
pub mod gate;
pub mod keys;
pub mod object;
pub mod options;
pub mod planning;
pub mod prelude;
pub mod scope;
pub mod session;
pub mod value;

pub mod amount;
pub mod filter;
pub mod stream;
pub mod subject;

pub mod args;
pub mod array;
pub mod assert;
pub mod container;
pub mod csv;
pub mod duration;
pub mod env;
pub mod error;
pub mod fake;
pub mod files;
pub mod flow;
pub mod fs;
pub mod glob;
pub mod hash;
pub mod http;
pub mod image;
pub mod job;
pub mod json;
pub mod log;
pub mod machine;
pub mod notify;
pub mod parallel;
pub mod progress;
pub mod regex;
pub mod registry;
pub mod report;
pub mod run;
pub mod saved;
pub mod screen;
pub mod secret;
pub mod semver;
pub mod system;
pub mod table;
pub mod template;
pub mod text;
pub mod time;
pub mod toml;
pub mod trash;
mod turns;
pub mod units;
pub mod volume;
pub mod written;
pub mod yaml;

use std::sync::LazyLock;

use rhai::plugin::ModuleManifest;
use rhai::{Engine, Module};

use crate::host::{Container, Image, Index, Volume};
use object::Shape;

pub use console::{Console, Format, Level, Recorder};
pub use failure::Failure;
pub use image::{found, pull_from};
pub use session::{Session, Settings};

/// A group of functions: its name, its summary, and the module that holds them.
pub struct Group {
    /// The namespace before `::`, or the title of a chapter of globals.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    functions: Functions,
}

/// Lists of functions, as `#[export_module(manifest)]` makes them.
type Manifests = Vec<&'static ModuleManifest>;

/// Where the functions of a group are.
enum Functions {
    /// In these, which the gate is put before.
    Exported(fn() -> Manifests),
    /// Made by hand: units, which are pure.
    Made(fn() -> Module),
}

const fn group(name: &'static str, summary: &'static str, exported: fn() -> Manifests) -> Group {
    Group {
        name,
        summary,
        functions: Functions::Exported(exported),
    }
}

/// The namespaces, in the order of the documentation.
pub const NAMESPACES: &[Group] = &[
    group("args", "The script's arguments as options with defaults.", || {
        vec![&args::functions::RHAI_MANIFEST]
    }),
    group(
        "assert",
        "Expectations that end the script when they do not hold.",
        || vec![&assert::functions::RHAI_MANIFEST],
    ),
    group(
        "container",
        "Containers: commands run to their end, and containers that live on.",
        container::functions,
    ),
    group("csv", "CSV text to tables and back.", || {
        vec![&csv::functions::RHAI_MANIFEST]
    }),
    group("env", "The environment variables of this process.", || {
        vec![&env::functions::RHAI_MANIFEST]
    }),
    group(
        "fake",
        "What a test puts in the place of containers, images and registries.",
        || vec![&fake::functions::RHAI_MANIFEST],
    ),
    group("fs", "Files, directories and paths of this machine.", || {
        vec![&fs::functions::RHAI_MANIFEST]
    }),
    group("glob", "Shell-style patterns over names.", || {
        vec![&glob::functions::RHAI_MANIFEST]
    }),
    group("hash", "SHA-256 of text, bytes and files.", || {
        vec![&hash::functions::RHAI_MANIFEST]
    }),
    group("host", "Programs of this machine.", || {
        vec![&machine::functions::RHAI_MANIFEST]
    }),
    group("http", "Requests by HTTP.", || vec![&http::functions::RHAI_MANIFEST]),
    group(
        "image",
        "Images: brought in, listed, named, saved and removed.",
        image::functions,
    ),
    group(
        "job",
        "Scripts that run by themselves, and what became of their runs.",
        || vec![&job::functions::RHAI_MANIFEST],
    ),
    group("json", "JSON text to values and back.", || {
        vec![&json::functions::RHAI_MANIFEST]
    }),
    group("log", "Lines on standard error, with a level.", || {
        vec![&log::functions::RHAI_MANIFEST]
    }),
    group("notify", "Telling people, by a web hook, by chat, or by mail.", || {
        vec![&notify::functions::RHAI_MANIFEST]
    }),
    group("regex", "Regular expressions.", || {
        vec![&regex::functions::RHAI_MANIFEST]
    }),
    group(
        "registry",
        "Registries: what they have, who we are to them, and the store as one.",
        registry::functions,
    ),
    group("secret", "Passwords and tokens that are used and never seen.", || {
        vec![&secret::functions::RHAI_MANIFEST]
    }),
    group(
        "semver",
        "Versions, compared and sorted by Semantic Versioning.",
        || vec![&semver::functions::RHAI_MANIFEST],
    ),
    group("system", "The store as a whole.", || {
        vec![&system::functions::RHAI_MANIFEST, &trash::functions::RHAI_MANIFEST]
    }),
    group("time", "Points in time.", || vec![&time::functions::RHAI_MANIFEST]),
    group("toml", "TOML text to values.", || vec![&toml::functions::RHAI_MANIFEST]),
    group(
        "volume",
        "Volumes: directories that outlive the containers that use them.",
        || vec![&volume::functions::RHAI_MANIFEST],
    ),
    group("yaml", "YAML text to values and back.", || {
        vec![&yaml::functions::RHAI_MANIFEST]
    }),
];

/// Functions, methods and getters that are used without a namespace.
pub const GLOBALS: &[Group] = &[
    group(
        "flow",
        "Side by side, again after a failure, for so long, at the end, or not at all.",
        || vec![&flow::functions::RHAI_MANIFEST],
    ),
    group("screen", "Tables, questions, and how far work is.", || {
        vec![&screen::functions::RHAI_MANIFEST, &progress::methods::RHAI_MANIFEST]
    }),
    group(
        "arrays",
        "What arrays and maps can do beyond the language's own functions.",
        || vec![&array::functions::RHAI_MANIFEST],
    ),
    group(
        "strings",
        "What strings can do beyond the language's own functions.",
        || vec![&text::functions::RHAI_MANIFEST],
    ),
    Group {
        name: "units",
        summary: "Sizes and durations, written as a number and a unit.",
        functions: Functions::Made(units::module),
    },
    group(
        "durations",
        "Amounts of time, as units and differences of times give them.",
        || vec![&duration::functions::RHAI_MANIFEST],
    ),
    group(
        "times",
        "Points in time, as `time::now` and the dates of images and containers give them.",
        || vec![&time::methods::RHAI_MANIFEST],
    ),
    group(
        "images",
        "Facts of an image, and what can be done with it.",
        image::methods,
    ),
    group(
        "containers",
        "Facts of a container, and what can be done with it.",
        container::methods,
    ),
    group("volumes", "Facts of a volume, and what can be done with it.", || {
        vec![&volume::methods::RHAI_MANIFEST]
    }),
    group("runs", "What a command did, in a container or on this machine.", || {
        vec![&run::functions::RHAI_MANIFEST]
    }),
    group(
        "reports",
        "What a batch removed and kept, with the reason of each.",
        || vec![&report::functions::RHAI_MANIFEST],
    ),
    group(
        "indexes",
        "Images for several platforms under one name at a registry.",
        registry::index_methods,
    ),
    group("answers", "What another machine answered.", || {
        vec![&http::methods::RHAI_MANIFEST]
    }),
    group("servers", "A registry that is being served.", registry::methods),
    group("secrets", "Text that is used and never seen.", || {
        vec![&secret::methods::RHAI_MANIFEST]
    }),
    group("archives", "What `save` wrote.", || {
        vec![&saved::functions::RHAI_MANIFEST]
    }),
    group("errors", "What `catch` binds when a function fails.", || {
        vec![&error::functions::RHAI_MANIFEST]
    }),
];

/// The types offered to scripts.
pub fn objects() -> &'static [Shape] {
    static OBJECTS: LazyLock<Vec<Shape>> = LazyLock::new(|| {
        vec![
            Shape::of::<Failure>(),
            Shape::of::<duration::Duration>(),
            Shape::of::<time::Time>(),
            Shape::of::<Image>(),
            Shape::of::<Container>(),
            Shape::of::<Volume>(),
            Shape::of::<run::Run>(),
            Shape::of::<http::Response>(),
            Shape::of::<report::Report>(),
            Shape::of::<saved::Saved>(),
            Shape::of::<registry::Server>(),
            Shape::of::<Index>(),
            Shape::of::<progress::Progress>(),
            Shape::of::<secret::Secret>(),
        ]
    });
    &OBJECTS
}

/// Whether there is a namespace of that name.
pub fn is_namespace(name: &str) -> bool {
    NAMESPACES.iter().any(|group| group.name == name)
}

impl Group {
    /// The group's functions as they are documented; scripts get them by [`Group::gated`].
    pub fn module(&self) -> Module {
        let mut module = match self.functions {
            Functions::Made(make) => make(),
            Functions::Exported(_) => Module::new(),
        };
        for entry in self.manifests().into_iter().flat_map(ModuleManifest::functions) {
            entry.register_into(&mut module);
        }
        module.set_id(self.name).set_doc(self.summary);
        module
    }

    fn manifests(&self) -> Manifests {
        match self.functions {
            Functions::Exported(manifests) => manifests(),
            Functions::Made(_) => Vec::new(),
        }
    }
}

/// Registers everything with an engine.
pub fn register(engine: &mut Engine) {
    for shape in objects() {
        (shape.register)(engine);
    }
    for group in GLOBALS {
        engine.register_global_module(group.gated().into());
    }
    for group in NAMESPACES {
        engine.register_static_module(group.name, group.gated().into());
    }
}
