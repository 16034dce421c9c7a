//! The keys of options maps. A row names the struct that parses the options of a function; serde tells the keys of that struct and
//! what each takes, so there is no second list of them. A test calls every function and compares.

use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::container::acts::WaitOptions;
use super::csv::{CsvFormat, CsvParse};
use super::fake::ScriptOptions;
use super::flow::Retry;
use super::fs::Removal;
use super::image::namespace::LoadOptions;
use super::job::{AddOptions, HistoryOptions, NextOptions};
use super::parallel::{Parallel, ParallelMap};
use super::registry::access::LoginOptions;
use crate::host::{
    Asking, CacheFilter, CheckOptions, CommitOptions, ContainerFilter, ContainerOptions, CopyOptions, EntryOptions,
    ErrandOptions, EventQuery, ExecOptions, FetchOptions, FromHostOptions, ImageFilter, ImportOptions, IndexOptions,
    IndexPushOptions, LogOptions, MailOptions, MirrorOptions, MutateOptions, PullOptions, PushOptions, RemoveContainer,
    RemoveImage, SaveOptions, SearchOptions, SketchOptions, SlackOptions, StopOptions, UntaggedFilter, UpdateOptions,
    VolumeFilter, VolumeOptions, WebhookOptions,
};
use crate::server::registry::RegistryOptions;

/// One key of an options map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionKey {
    /// The key.
    pub name: &'static str,
    /// What it takes: a type as scripts call it, or words such as `a duration: text such as …`.
    pub kind: String,
    /// The only texts that it takes, if there are only some.
    pub values: &'static [&'static str],
    /// The keys of the map that it takes, where they are known.
    pub keys: Vec<OptionKey>,
}

/// The struct that parses options, as what tells its keys.
type Keys = fn() -> Vec<OptionKey>;

/// Every function that takes options, by the name the effect table uses.
#[rustfmt::skip]
const OPTIONS: &[(&str, Keys)] = &[
    ("Container.commit", of::<CommitOptions>),
    ("Container.exec", of::<ExecOptions>),
    ("Container.exec_detached", of::<ExecOptions>),
    ("Container.follow", of::<LogOptions>),
    ("Container.logs", of::<LogOptions>),
    ("Container.remove", of::<RemoveContainer>),
    ("Container.restart", of::<StopOptions>),
    ("Container.stop", of::<StopOptions>),
    ("Container.update", of::<UpdateOptions>),
    ("Container.wait", of::<WaitOptions>),
    ("Image.push", of::<PushOptions>),
    ("Image.remove", of::<RemoveImage>),
    ("Image.save", of::<SaveOptions>),
    ("Index.add", of::<EntryOptions>),
    ("Index.push", of::<IndexPushOptions>),
    ("container::create", of::<ContainerOptions>),
    ("container::list", filter::<ContainerFilter>),
    ("container::prune", filter::<ContainerFilter>),
    ("container::run", of::<ContainerOptions>),
    ("container::run_detached", of::<ContainerOptions>),
    ("container::select", filter::<ContainerFilter>),
    ("fake::image", of::<SketchOptions>),
    ("fake::script", of::<ScriptOptions>),
    ("fs::remove", of::<Removal>),
    ("host::exec", of::<ErrandOptions>),
    ("http::delete", fetch),
    ("http::get", fetch),
    ("http::head", fetch),
    ("http::patch", fetch),
    ("http::post", fetch),
    ("http::put", fetch),
    ("image::from_host", of::<FromHostOptions>),
    ("image::import_tar", of::<ImportOptions>),
    ("image::list", filter::<ImageFilter>),
    ("image::load", of::<LoadOptions>),
    ("image::prune", filter::<ImageFilter>),
    ("image::pull", of::<PullOptions>),
    ("image::push", of::<PushOptions>),
    ("image::remove", of::<RemoveImage>),
    ("image::save", of::<SaveOptions>),
    ("image::search", of::<SearchOptions>),
    ("image::select", filter::<ImageFilter>),
    ("csv::format", of::<CsvFormat>),
    ("csv::parse", of::<CsvParse>),
    ("job::add", of::<AddOptions>),
    ("job::history", of::<HistoryOptions>),
    ("job::next", of::<NextOptions>),
    ("notify::mail", of::<MailOptions>),
    ("notify::slack", of::<SlackOptions>),
    ("notify::webhook", of::<WebhookOptions>),
    ("parallel", of::<Parallel>),
    ("parallel_map", of::<ParallelMap>),
    ("registry::copy", of::<CopyOptions>),
    ("registry::delete", of::<Asking>),
    ("registry::delete_tag", of::<Asking>),
    ("registry::digest", of::<Asking>),
    ("registry::exists", of::<Asking>),
    ("registry::inspect", of::<Asking>),
    ("registry::limits", of::<Asking>),
    ("registry::login", of::<LoginOptions>),
    ("registry::manifest", of::<Asking>),
    ("registry::mirror", filter::<MirrorOptions>),
    ("registry::index", of::<IndexOptions>),
    ("registry::mutate", of::<MutateOptions>),
    ("registry::prune", of::<UntaggedFilter>),
    ("registry::prune_cache", of::<CacheFilter>),
    ("registry::referrers", of::<Asking>),
    ("registry::repos", of::<Asking>),
    ("registry::serve", of::<RegistryOptions>),
    ("registry::tag", of::<Asking>),
    ("registry::tags", of::<Asking>),
    ("retry", of::<Retry>),
    ("volume::create", of::<VolumeOptions>),
    ("volume::list", filter::<VolumeFilter>),
    ("volume::prune", filter::<VolumeFilter>),
    ("volume::select", filter::<VolumeFilter>),
    ("system::check", of::<CheckOptions>),
    ("system::events", of::<EventQuery>),
];

/// The keys of the options that a function takes, sorted; none for one that takes no options.
pub fn of_function(name: &str) -> Vec<OptionKey> {
    let row = OPTIONS.iter().find(|row| row.0 == name);
    row.map(|(_, keys)| keys()).unwrap_or_default()
}

/// The keys that `T` is parsed from, sorted.
fn of<T: for<'de> Deserialize<'de>>() -> Vec<OptionKey> {
    keys(&mut |probe| match T::deserialize(probe) {
        Ok(_) => Found::Unknown,
        Err(found) => found,
    })
}

/// The keys of what is asked by HTTP, to which what is sent belongs.
fn fetch() -> Vec<OptionKey> {
    let mut keys = of::<FetchOptions>();
    keys.extend(["form", "json"].map(|name| OptionKey {
        name,
        kind: if name == "form" { "map" } else { "any" }.to_owned(),
        values: &[],
        keys: Vec::new(),
    }));
    keys.sort_by_key(|key| key.name);
    keys
}

/// The keys of a filter, to which a closure belongs.
fn filter<T: for<'de> Deserialize<'de>>() -> Vec<OptionKey> {
    let mut keys = of::<T>();
    keys.push(OptionKey {
        name: "matching",
        kind: "closure".to_owned(),
        values: &[],
        keys: Vec::new(),
    });
    keys.sort_by_key(|key| key.name);
    keys
}

fn keys(parse: &mut dyn FnMut(Probe) -> Found) -> Vec<OptionKey> {
    let Found::Fields(fields) = parse(Probe::Fields) else {
        return Vec::new();
    };
    let mut keys: Vec<OptionKey> = fields
        .iter()
        .map(|name| {
            let nested = keys_of_field(name, parse);
            let (kind, values) = match parse(Probe::Field(name)) {
                Found::Kind(kind) => (kind, Default::default()),
                Found::Values(values) => ("string".to_owned(), values),
                Found::Fields(_) => ("map".to_owned(), Default::default()),
                Found::Unknown => ("any".to_owned(), Default::default()),
            };
            OptionKey {
                name,
                kind,
                values,
                keys: nested,
            }
        })
        .collect();
    keys.sort_by_key(|key| key.name);
    keys
}

/// The keys of the map that a field takes: one level down, which is as deep as options go.
fn keys_of_field(field: &'static str, parse: &mut dyn FnMut(Probe) -> Found) -> Vec<OptionKey> {
    let Found::Fields(_) = parse(Probe::Field(field)) else {
        return Vec::new();
    };
    keys(&mut |probe| match probe {
        Probe::Fields => parse(Probe::Field(field)),
        Probe::Field(inner) => parse(Probe::Inner(field, inner)),
        Probe::Inner(..) => Found::Unknown,
    })
}

/// A deserializer that has no data, and ends with what it was asked for.
#[derive(Clone, Copy)]
enum Probe {
    /// Ends at a struct with its fields.
    Fields,
    /// Offers one field, and ends with what that takes.
    Field(&'static str),
    /// Offers one field of the map that a field takes.
    Inner(&'static str, &'static str),
}

/// What a probe ended with; it travels as an error.
#[derive(Debug)]
enum Found {
    Fields(&'static [&'static str]),
    Kind(String),
    Values(&'static [&'static str]),
    Unknown,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an option was looked at")
    }
}

impl std::error::Error for Found {}

impl serde::de::Error for Found {
    /// What a type that takes several forms says of them.
    fn custom<T: fmt::Display>(message: T) -> Found {
        match message.to_string().strip_prefix("expected ") {
            Some(forms) => Found::Kind(forms.to_owned()),
            None => Found::Unknown,
        }
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Found;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Found> {
        let (field, then) = match self {
            Probe::Fields => return Err(Found::Fields(fields)),
            Probe::Field(field) => (field, None),
            Probe::Inner(field, inner) => (field, Some(inner)),
        };
        visitor.visit_map(One {
            field: Some(field),
            then,
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Found> {
        Err(Found::Unknown)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A map of one field.
struct One {
    field: Option<&'static str>,
    then: Option<&'static str>,
}

impl<'de> MapAccess<'de> for One {
    type Error = Found;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Found> {
        let Some(field) = self.field.take() else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Found> = field.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Found> {
        seed.deserialize(Value { then: self.then })
    }
}

/// The value of a field, which ends with what it should be.
struct Value {
    then: Option<&'static str>,
}

/// Ends with a kind that serde asks for by its own method.
macro_rules! kinds {
    ($($method:ident => $kind:literal),*) => {
        $(fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Found> {
            Err(Found::Kind($kind.to_owned()))
        })*
    };
}

impl<'de> Deserializer<'de> for Value {
    type Error = Found;

    kinds! {
        deserialize_bool => "bool", deserialize_i8 => "number", deserialize_i16 => "number", deserialize_i32 => "number",
        deserialize_i64 => "number", deserialize_i128 => "number", deserialize_u8 => "number", deserialize_u16 => "number",
        deserialize_u32 => "number", deserialize_u64 => "number", deserialize_u128 => "number", deserialize_f32 => "number",
        deserialize_f64 => "number", deserialize_char => "string", deserialize_str => "string", deserialize_string => "string",
        deserialize_bytes => "blob", deserialize_byte_buf => "blob", deserialize_seq => "array", deserialize_map => "map"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Found> {
        let expected = (&visitor as &dyn Expected).to_string();
        match expected.as_str() {
            // A type that takes several forms looks at the value itself, and then says what it takes.
            "any value" => visitor.visit_unit(),
            _ => Err(Found::Kind(expected)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Found> {
        match self.then {
            None => Err(Found::Fields(fields)),
            field => visitor.visit_map(One { field, then: None }),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Found> {
        Err(Found::Values(variants))
    }

    forward_to_deserialize_any! { unit unit_struct tuple tuple_struct identifier ignored_any }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::bindings::Failure;
    use crate::images::registry::testing::{Server, reply};
    use crate::script::docs::{self, Function, Use};
    use crate::script::testing;

    fn key(function: &str, name: &str) -> OptionKey {
        let keys = of_function(function);
        keys.into_iter().find(|key| key.name == name).unwrap()
    }

    #[test]
    fn keys_say_what_they_take() {
        for (function, name, kind) in [
            ("container::run", "privileged", "bool"),
            ("container::run", "name", "string"),
            ("container::run", "health", "a map, or `none`"),
            (
                "container::run",
                "timeout",
                "a duration: text such as `7d`, or a number of seconds",
            ),
            ("image::list", "older_than", "an age such as `7d`, or a time"),
            ("image::list", "matching", "closure"),
            ("image::list", "keep_last", "number"),
            ("registry::serve", "tls", "map"),
        ] {
            assert_eq!(key(function, name).kind, kind, "{function} {name}");
        }
        assert_eq!(
            key("image::pull", "policy").values,
            ["missing", "always", "newer", "never"]
        );
        let tls: Vec<&str> = key("registry::serve", "tls").keys.iter().map(|key| key.name).collect();
        assert_eq!(tls, ["cert", "key"]);
        assert_eq!(of_function("fs::read"), []);
    }

    /// What stands for an argument that is not the options.
    fn argument(function: &Function, name: &str, kind: &str) -> String {
        match (kind, name) {
            ("number", _) => "1",
            ("array", "programs") => r#"["/bin/true"]"#,
            ("array", _) => "[]",
            ("closure", _) => "|x| x",
            (_, "image" | "images") => "\"tools\"",
            (_, "url") => "\"http://127.0.0.1:9/\"",
            _ if function.name == "save" => "\"/tmp/hoist-not-written.tar\"",
            _ => "\"x\"",
        }
        .to_owned()
    }

    /// The call with options that have a key no function knows; `()` for one that takes no options.
    fn call(function: &Function) -> Option<String> {
        let is_options = |name: &str| ["options", "filter"].contains(&name);
        if !function.parameters.iter().any(|parameter| is_options(&parameter.name)) {
            return None;
        }
        let arguments = function
            .parameters
            .iter()
            .map(|parameter| match is_options(&parameter.name) {
                true => "#{no_such_key_at_all: 1}".to_owned(),
                false => argument(function, &parameter.name, &parameter.kind),
            });
        let arguments = arguments.collect::<Vec<_>>().join(", ");
        let receiver = match &function.usage {
            Use::Method(kind) if kind == "Image" => "image::get(\"tools\").".to_owned(),
            Use::Method(kind) if kind == "Index" => {
                // There is nothing at this registry, which is enough to begin an index.
                static NOTHING: LazyLock<Server> = LazyLock::new(|| Server::new(|_| reply(404, &[], b"")));
                format!("registry::index(\"{}/x:1\", #{{create: true}}).", NOTHING.address)
            }
            Use::Method(_) => "container::create(\"tools\", [\"true\"]).".to_owned(),
            Use::Namespace(namespace) => format!("{namespace}::"),
            _ => String::new(),
        };
        let prepare = "image::from_host(\"tools\", [\"/bin/true\"]);";
        Some(format!("{prepare} {receiver}{}({arguments})", function.name))
    }

    #[test]
    fn every_function_that_takes_options_takes_these_and_no_others() {
        let functions = docs::functions();
        let mut faults = Vec::new();
        for (function, call) in functions
            .iter()
            .filter_map(|function| Some((function, call(function)?)))
        {
            let (session, _) = testing::session(true);
            let thrown = crate::script::engine(&session).run(&call).unwrap_err();
            let failure = Failure::of(&thrown);
            let told = failure.error().way_out().and_then(|hint| hint.rsplit_once("valid: "));
            let keys: Vec<&str> = function.options().iter().map(|key| key.name).collect();
            if told.map(|(_, list)| list) != Some(&keys.join(", ")) {
                faults.push(format!("{call}\n  says {failure:?}\n  known {keys:?}"));
            }
        }
        for (name, _) in OPTIONS {
            if !functions
                .iter()
                .any(|f| f.qualified_name() == *name && call(f).is_some())
            {
                faults.push(format!("{name} takes no options"));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn every_key_that_a_manual_names_is_one() {
        let mut faults = Vec::new();
        for function in docs::functions() {
            let Some((_, list)) = function.manual.split_once("Options: `") else {
                continue;
            };
            let first = list.split('`').next().unwrap_or_default();
            if !function.options().iter().any(|key| key.name == first) {
                faults.push(format!("{}: `{first}`", function.signature()));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
