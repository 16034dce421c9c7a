//! Options maps: `#{…}` into a struct of the host, naming every fault by its key.
//!
//! The valid keys are the struct's own fields, as serde tells them, so there is no second list to keep. A `Duration`, `Time` or size
//! of a script arrives as text, which the host's types parse the same way for scripts, commands and servers.

use std::fmt;

use rhai::{Array, Blob, Dynamic, FnPtr, Map};
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::closure::snapshot;
use super::duration::Duration;
use super::object::Shape;
use super::secret::Secret;
use super::value::{plain_type, type_phrase, with_article};
use crate::error::{Error, Result};
use crate::model::unknown;

/// The options of a call, or their defaults for keys not given.
pub fn parse<T: DeserializeOwned>(map: Map) -> Result<T> {
    Options::new(map).parse()
}

/// Options of which some are closures, which no plain struct can hold: take those out, then [`Options::parse`] the rest.
pub struct Options {
    map: Map,
    taken: Vec<&'static str>,
}

impl Options {
    /// The options of a call.
    pub fn new(map: Map) -> Options {
        Options { map, taken: Vec::new() }
    }

    /// Takes out the closure given as `key`, if there is one.
    pub fn closure(&mut self, key: &'static str) -> Result<Option<FnPtr>> {
        self.taken.push(key);
        match self.map.remove(key) {
            None => Ok(None),
            Some(value) if value.is_unit() => Ok(None),
            Some(value) => {
                let value = value.flatten();
                let found = type_phrase(&value);
                let closure = value.try_cast::<FnPtr>();
                closure
                    .map(Some)
                    .ok_or_else(|| wrong(&format!("option `{key}`"), "a closure", &found))
            }
        }
    }

    /// Takes out what is given as `key`, whatever it is.
    pub fn take(&mut self, key: &'static str) -> Option<Dynamic> {
        self.taken.push(key);
        self.map.remove(key).filter(|value| !value.is_unit()).map(snapshot)
    }

    /// The remaining options as a struct.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T> {
        let map = self.map.into_iter().map(|(key, value)| (key, snapshot(value)));
        T::deserialize(Source {
            map: &map.collect(),
            taken: &self.taken,
            path: "",
        })
        .map_err(|fault| fault.0)
    }
}

fn wrong(place: &str, expected: &str, found: &str) -> Error {
    Error::invalid(format!("{place} must be {expected}, got {found}"))
}

/// A fault found by serde; the key it belongs to is put before it on the way out.
#[derive(Debug)]
struct Fault(Error);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault(Error::invalid(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::custom(format!("must be {}, got {}", expectation(expected), description(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, valid: &'static [&'static str]) -> Fault {
        Fault(unknown("value", found, valid))
    }

    fn unknown_field(found: &str, valid: &'static [&'static str]) -> Fault {
        Fault(unknown("key", found, valid))
    }

    fn missing_field(field: &'static str) -> Fault {
        Fault::custom(format!("needs the option `{field}`"))
    }
}

/// Serde's words for a type, in the words of a script.
fn expectation(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        text if text.starts_with("struct ") => "a map".to_owned(),
        text => text.to_owned(),
    }
}

fn description(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(value) => format!("the string `{}`", value.escape_debug()),
        Unexpected::Unit => "`()`".to_owned(),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        Unexpected::NewtypeStruct => "a Secret".to_owned(),
        Unexpected::Other(name) => with_article(plain_type(name)),
        other => other.to_string(),
    }
}

/// A map on its way into a struct. `path` is the key it was found under, empty at the top.
struct Source<'a> {
    map: &'a Map,
    taken: &'a [&'static str],
    path: &'a str,
}

impl Source<'_> {
    fn refuse_unknown(&self, fields: &[&'static str]) -> std::result::Result<(), Fault> {
        let valid = || fields.iter().chain(self.taken).copied();
        let Some(key) = self.map.keys().find(|key| !valid().any(|field| field == key.as_str())) else {
            return Ok(());
        };
        let mut sorted: Vec<&str> = valid().collect();
        sorted.sort_unstable();
        let what = if self.path.is_empty() {
            "option".to_owned()
        } else {
            format!("key of `{}`", self.path)
        };
        Err(Fault(unknown(&what, key, &sorted)))
    }
}

impl<'de> Deserializer<'de> for Source<'_> {
    type Error = Fault;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        self.refuse_unknown(fields)?;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        let given = self.map.iter().filter(|(_, value)| !value.is_unit());
        let entries: Vec<_> = given.map(|(key, value)| (key.as_str(), value)).collect();
        visitor.visit_map(Entries {
            entries: entries.into_iter(),
            current: None,
            path: self.path,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(&'a str, &'a Dynamic)>,
    current: Option<(&'a str, &'a Dynamic)>,
    path: &'a str,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> std::result::Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let key = self.current.map(|(key, _)| {
            Item {
                value: &Dynamic::from(key.to_owned()),
                path: "",
            }
            .key(seed)
        });
        key.transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> std::result::Result<V::Value, Fault> {
        let (key, value) = self.current.take().expect("serde asks for a value only after its key");
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        seed.deserialize(Item { value, path: &path })
            .map_err(|fault| at(fault, &path, value))
    }
}

/// Puts the key before a fault that has none yet.
fn at(fault: Fault, path: &str, value: &Dynamic) -> Fault {
    let error = fault.0;
    if error.subject().is_some_and(|target| target.starts_with("option "))
        || error.message().starts_with("unknown key of")
    {
        return Fault(error);
    }
    let mut text = error.message().to_owned();
    // What a type that takes several forms says when none fits.
    if let Some(forms) = text.strip_prefix("expected ") {
        text = format!("must be {forms}, got {}", type_phrase(value));
    }
    let glue = if text.starts_with("must be") || text.starts_with("needs") {
        " "
    } else {
        ": "
    };
    let mut placed = Error::invalid(format!("option `{path}`{glue}{text}")).target(format!("option `{path}`"));
    if let Some(hint) = error.way_out() {
        placed = placed.hint(hint);
    } else if super::secret::is_in(value) {
        placed =
            placed.hint("a secret goes where passwords go, and into containers by the option `secrets` or by `stdin`");
    }
    Fault(placed)
}

/// One value on its way into a field.
struct Item<'a> {
    value: &'a Dynamic,
    path: &'a str,
}

impl Item<'_> {
    fn key<'de, K: DeserializeSeed<'de>>(self, seed: K) -> std::result::Result<K::Value, Fault> {
        seed.deserialize(self)
    }

    fn visit_object<'de, V: Visitor<'de>>(&self, visitor: V) -> std::result::Result<V::Value, Fault> {
        let value = self.value;
        if let Some(duration) = value.read_lock::<Duration>() {
            return visitor.visit_string(duration.exact());
        }
        if let Some(secret) = value.read_lock::<Secret>() {
            // Only what takes secrets knows this form: what takes text does not get it.
            let text: StringDeserializer<Fault> = secret.expose().to_owned().into_deserializer();
            return visitor.visit_newtype_struct(text);
        }
        match Shape::find(value) {
            Some(shape) => visitor.visit_string(shape.text(value)),
            None => Err(serde::de::Error::invalid_type(
                Unexpected::Other(value.type_name()),
                &visitor,
            )),
        }
    }
}

impl<'de> Deserializer<'de> for Item<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        if let Some(map) = self.value.read_lock::<Map>() {
            return Source {
                map: &map,
                taken: &[],
                path: self.path,
            }
            .deserialize_any(visitor);
        }
        if let Some(array) = self.value.read_lock::<Array>() {
            return visitor.visit_seq(Items {
                items: array.iter(),
                path: self.path,
            });
        }
        if let Some(blob) = self.value.read_lock::<Blob>() {
            return visitor.visit_bytes(&blob);
        }
        match self.value.type_name() {
            "()" => visitor.visit_unit(),
            "bool" => visitor.visit_bool(self.value.as_bool().unwrap_or_default()),
            "i64" => visitor.visit_i64(self.value.as_int().unwrap_or_default()),
            "f64" => visitor.visit_f64(self.value.as_float().unwrap_or_default()),
            "char" | "string" => visitor.visit_string(self.value.to_string()),
            _ => self.visit_object(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        match self.value.is_unit() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        match self.value.read_lock::<Map>() {
            Some(map) => Source {
                map: &map,
                taken: &[],
                path: self.path,
            }
            .deserialize_struct(name, fields, visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        match self.value.is_string() {
            true => {
                let text: serde::de::value::StringDeserializer<Fault> = self.value.to_string().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            false => {
                let expected = format!("one of {}", variants.join(", "));
                Err(Fault::from_found(&expected, self.value))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

impl Fault {
    fn from_found(expected: &str, found: &Dynamic) -> Fault {
        Fault(Error::invalid(format!(
            "must be {expected}, got {}",
            type_phrase(found)
        )))
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Dynamic>,
    path: &'a str,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> std::result::Result<Option<T::Value>, Fault> {
        self.items
            .next()
            .map(|value| seed.deserialize(Item { value, path: self.path }))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ByteSize, Moment, Pairs, TimeSpan};
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Example {
        platform: Option<String>,
        retries: u32,
        memory: Option<ByteSize>,
        tags: Vec<String>,
        mode: Mode,
        health: Option<Health>,
        timeout: Option<TimeSpan>,
        older_than: Option<Moment>,
        env: Option<Pairs>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Missing,
        Always,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Health {
        interval: String,
    }

    fn parsed(script: &str) -> Result<Example> {
        let engine = crate::script::testing::engine();
        parse(engine.eval::<Map>(script).unwrap())
    }

    #[test]
    fn what_a_script_writes_arrives_in_the_struct() {
        let example = parsed(
            r#"#{platform: "linux/amd64", retries: 3, memory: 512.mib, tags: ["a", "b"], mode: "always",
                 health: #{interval: 90.seconds}}"#,
        )
        .unwrap();
        assert_eq!((example.platform.as_deref(), example.retries), (Some("linux/amd64"), 3));
        assert_eq!(
            (example.memory, example.mode),
            (Some(ByteSize(512 << 20)), Mode::Always)
        );
        assert_eq!(example.tags, ["a", "b"]);
        assert_eq!(example.health.unwrap().interval, "90000000us");
        let example = parsed("#{timeout: 1.5.minutes, older_than: 7.days, env: #{A: 1, B: \"x\"}}").unwrap();
        assert_eq!(example.timeout.unwrap().0, std::time::Duration::from_secs(90));
        let week = TimeSpan(std::time::Duration::from_secs(7 * 86_400));
        assert_eq!(example.older_than, Some(Moment::Ago(week)));
        assert_eq!(example.env.unwrap().0["A"], "1");
        let example = parsed("#{older_than: time::parse(\"2026-01-01\"), timeout: 5}").unwrap();
        assert!(matches!(example.older_than, Some(Moment::At(_))));
        assert!(parsed("#{platform: ()}").unwrap().platform.is_none());
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_and_all_valid_ones() {
        let error = parsed("#{platfrom: \"x\"}").unwrap_err();
        assert_eq!(error.message(), "unknown option `platfrom`");
        let hint =
            "did you mean `platform`? valid: env, health, memory, mode, older_than, platform, retries, tags, timeout";
        assert_eq!(error.way_out(), Some(hint));
        let error = parsed("#{health: #{intervall: 1}}").unwrap_err();
        assert_eq!(error.message(), "unknown key of `health` `intervall`");
    }

    #[test]
    fn a_wrong_type_names_key_expectation_and_what_was_given() {
        for (script, message) in [
            (
                "#{retries: \"many\"}",
                "option `retries` must be a whole number, not negative, got the string `many`",
            ),
            (
                "#{retries: -1}",
                "option `retries` must be a whole number, not negative, got the number `-1`",
            ),
            ("#{tags: 1}", "option `tags` must be an array, got the number `1`"),
            ("#{tags: [1]}", "option `tags` must be a string, got the number `1`"),
            ("#{platform: || 1}", "option `platform` must be a string, got a closure"),
            ("#{memory: \"lots\"}", "option `memory`: `lots` is not a size"),
            (
                "#{timeout: [1]}",
                "option `timeout` must be a duration: text such as `7d`, or a number of seconds, got an array",
            ),
            (
                "#{older_than: \"soon\"}",
                "option `older_than`: `soon` is neither an age nor a time",
            ),
            (
                "#{env: 1}",
                "option `env` must be a map, or an array of `key=value` texts, got a number",
            ),
            ("#{mode: \"alwys\"}", "option `mode`: unknown value `alwys`"),
            (
                "#{mode: 1}",
                "option `mode` must be one of missing, always, got a number",
            ),
            (
                "#{health: #{interval: 1}}",
                "option `health.interval` must be a string, got the number `1`",
            ),
        ] {
            assert_eq!(parsed(script).unwrap_err().message(), message, "{script}");
        }
    }

    #[test]
    fn closures_are_taken_out_first_and_are_valid_keys() {
        let engine = crate::script::testing::engine();
        let mut options = Options::new(engine.eval("#{matching: |i| true, retries: 2}").unwrap());
        assert!(options.closure("matching").unwrap().is_some());
        assert_eq!(options.parse::<Example>().unwrap().retries, 2);
        let mut options = Options::new(engine.eval("#{matchin: |i| true}").unwrap());
        options.closure("matching").unwrap();
        let error = options.parse::<Example>().unwrap_err();
        assert!(
            error.way_out().unwrap().contains("did you mean `matching`"),
            "{error:?}"
        );
    }
}
