//! `yaml::`: YAML text to values and back.

use rhai::export_module;

/// YAML, read and written. Words such as `yes` and `no` are text, as YAML 1.2 has it.
#[export_module(manifest)]
pub mod functions {
    use serde_json::Value;

    use crate::bindings::prelude::*;
    use crate::bindings::value::{from_json, to_json};

    /// As YAML 1.2 has it, with what is refused of bombs of anchors.
    fn strict() -> serde_saphyr::Options {
        serde_saphyr::options! { strict_booleans: true, with_snippet: false }
    }

    fn broken(cause: serde_saphyr::Error) -> Error {
        Error::corrupt(format!("failed to read the YAML text: {cause}"))
    }

    /// Reads one YAML document. Anchors are followed; an empty text is `()`.
    ///
    /// Throws `corrupt` with line and column when the text is not YAML, or holds several documents.
    ///
    /// ```rhai
    /// assert::eq(yaml::parse("answer: no").answer, "no");
    /// let compose = yaml::parse("services:\n  web:\n    image: app:2\n    ports: [80, 443]\n");
    /// assert::eq(compose.services.web, #{ image: "app:2", ports: [80, 443] });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Dynamic> {
        native(&ctx, |_| {
            let value: Value = serde_saphyr::from_str_with_options(text, strict()).map_err(broken)?;
            Ok(from_json(&value))
        })
    }

    /// Reads all YAML documents of a text, such as those of Kubernetes, into an array.
    ///
    /// ```rhai
    /// assert::eq(yaml::parse_all("a: 1\n---\nb: 2\n"), [#{ a: 1 }, #{ b: 2 }]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_all(ctx: NativeCallContext, text: &str) -> Scripted<Array> {
        native(&ctx, |_| {
            let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, strict()).map_err(broken)?;
            Ok(values.iter().map(from_json).collect())
        })
    }

    /// Writes a value as a YAML document.
    ///
    /// Throws `invalid` for a closure.
    ///
    /// ```rhai
    /// assert::eq(yaml::format(#{ image: "app:2", ports: [80] }), "image: app:2\nports:\n- 80\n");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format(ctx: NativeCallContext, value: Dynamic) -> Scripted<String> {
        native(&ctx, |_| {
            let text = serde_saphyr::to_string(&to_json(&value)?);
            text.map_err(|cause| Error::invalid(format!("failed to write YAML: {cause}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::script::testing;

    fn evaluated(script: &str) -> String {
        testing::engine()
            .eval::<String>(script)
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = r#"#{a: [1, 1.5, true, (), "yes", "1", "x: y", "two\nlines", " "], m: #{}, l: []}"#;
        assert_eq!(
            evaluated(&format!("json::stringify(yaml::parse(yaml::format({value})))")),
            evaluated(&format!("json::stringify({value})"))
        );
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place_and_bombs_are_refused() {
        let said = |text: &str| evaluated(&format!("attempt(|| yaml::parse({text:?})).error.to_string()"));
        assert!(said("a: [1").contains("line 1"), "{}", said("a: [1"));
        assert!(said("a: 1\na: 2").contains("uplicate"), "{}", said("a: 1\na: 2"));
        assert!(
            said("a: 1\n---\nb: 2").contains("document"),
            "{}",
            said("a: 1\n---\nb: 2")
        );
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
        }
        assert!(said(&bomb).contains("failed to read the YAML text"));
    }
}
