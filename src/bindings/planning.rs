//! A script's changes written down instead of made, each with what it relies on: what `hoist plan` collects and `hoist apply` does.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhai::{Array, Blob, Dynamic, FnPtr, Map};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::effects::{self, Effect};
use super::gate::Place;
use super::report::Report;
use super::session::Session;
use super::value::{from_json, to_json};
use crate::config::{Demand, Target};
use crate::error::{Error, Result};
use crate::host::{Container, ContainerFilter, Image, ImageFilter, Index, Item, Pin, Volume, VolumeFilter};
use crate::model::Reference;

/// The form of plan files that this version writes and reads.
pub const FORMAT: u32 = 1;

/// A plan, as its file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// The form of the file.
    pub hoist_plan: u32,
    /// When it was made.
    pub created: String,
    /// The store it is for.
    pub root: String,
    /// The script it was made of, and its arguments.
    pub script: String,
    /// The arguments of the script.
    pub args: Vec<String>,
    /// What is to be done, in this order.
    pub actions: Vec<Step>,
}

/// One call of a function that changes something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The function, as the reference names it.
    pub function: String,
    /// What it is given; the receiver of a method comes first.
    pub arguments: Vec<Value>,
    /// What it is done to, for a person.
    pub target: String,
    /// Why, where a report says so.
    pub reason: Option<String>,
    /// Bytes it is about.
    pub size: Option<u64>,
    /// Where the script calls it.
    pub script: Option<String>,
    /// The line.
    pub line: Option<usize>,
    /// The column.
    pub column: Option<usize>,
    /// What has to be as it was.
    pub pins: Vec<Pin>,
    /// What it gives, where later steps have to do with that.
    pub result: Option<Value>,
}

/// What has been written down.
#[derive(Default)]
pub struct Recorder(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    steps: Vec<Step>,
    /// Things that the plan itself has changed: from then on they are not what the world has.
    touched: HashSet<String>,
}

/// Functions that no plan can hold, and why.
const UNPLANNED: &[(&str, &str)] = &[
    ("registry::serve", "a server lasts as long as its script"),
    ("registry::login", "a plan is a file, and would hold the password"),
    ("system::check", "what is to be repaired shows only while it is done"),
    ("system::boot", "what is to be started shows only while it is done"),
    ("system::undo", "the trash may have given it up by then"),
];

/// Options with what must not be in a file.
const SECRET: &[&str] = &["password", "secrets"];

/// Functions that read what a program in a container has done, which it has not in a plan.
pub(super) const OUTCOMES: &[&str] = &[
    "Container.diff",
    "Container.follow",
    "Container.logs",
    "Container.read_blob",
    "Container.read_file",
    "Container.stats",
    "Container.top",
];

/// Refuses what a plan cannot foresee.
pub fn unforeseen(what: &str, why: &str) -> Error {
    Error::unsupported(format!("{what} cannot be planned: {why}"))
        .target(what)
        .hint("let the script decide by what is known beforehand, or run it: `hoist --dry-run run` shows what it would do")
}

/// A call that is being written down.
pub struct Draft {
    arguments: Vec<Value>,
    /// What it relies on; of a batch, all that it may come to.
    pins: Vec<Pin>,
    /// The first argument, where it is text, and the options of a batch.
    given: (String, Value),
    /// The image of the container that is called.
    made_of: Option<String>,
}

/// All that a clean-up may come to, as it is.
fn all_pins(session: &Session) -> Result<Vec<Pin>> {
    let host = session.host()?;
    let all = ImageFilter {
        all: true,
        ..ImageFilter::default()
    };
    let mut pins: Vec<Pin> = host.images(&all, None)?.iter().map(Pin::image).collect();
    let all = ContainerFilter {
        all: true,
        ..ContainerFilter::default()
    };
    for volume in host.volumes(&VolumeFilter::default(), None)? {
        pins.push(host.pin_volume(volume.name())?);
    }
    pins.extend(
        host.containers(&all, None)?
            .iter()
            .map(|container| host.pin_container(container)),
    );
    Ok(pins)
}

fn made_of(args: &[&mut Dynamic]) -> Option<String> {
    let container = args.first()?.read_lock::<Container>()?;
    Some(container.image_id().to_string())
}

/// Whether the call is on a container whose program only would run.
pub(super) fn is_imagined(session: &Session, args: &[&mut Dynamic]) -> Result<bool> {
    let container = args.first().and_then(|value| value.read_lock::<Container>());
    match container {
        Some(container) => Ok(session.host()?.is_imagined(container.id())),
        None => Ok(false),
    }
}

impl Recorder {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written down.
    pub fn steps(&self) -> Vec<Step> {
        self.inner().steps.clone()
    }

    /// Looks at a call before it is made in the simulated world; `None` if it changes nothing.
    pub(super) fn draft(
        &self,
        session: &Session,
        function: &str,
        demands: &[Demand],
        args: &[&mut Dynamic],
    ) -> Result<Option<Draft>> {
        let waits = function == "Container.wait" && is_imagined(session, args)?;
        if effects::only_looks(function) && !waits {
            return Ok(None);
        }
        if let Some((_, why)) = UNPLANNED.iter().find(|(name, _)| *name == function) {
            return Err(unforeseen(&format!("`{function}`"), why));
        }
        let arguments = match is_batch(function) {
            true => Vec::new(),
            false => args
                .iter()
                .map(|value| argument(function, value))
                .collect::<Result<_>>()?,
        };
        let mut pins = Vec::new();
        if is_batch(function) {
            pins = all_pins(session)?;
        } else {
            for demand in demands {
                self.pin(session, function, demand, args, &mut pins)?;
            }
        }
        let options = args
            .last()
            .map_or(Ok(Value::Null), |value| to_json(value))
            .unwrap_or_default();
        let first = args.first().and_then(|value| (**value).clone().into_string().ok());
        Ok(Some(Draft {
            arguments,
            pins,
            given: (first.unwrap_or_default(), options),
            made_of: made_of(args),
        }))
    }

    /// The things a demand is about, as they are, unless the plan has changed them already.
    fn pin(
        &self,
        session: &Session,
        function: &str,
        demand: &Demand,
        args: &[&mut Dynamic],
        pins: &mut Vec<Pin>,
    ) -> Result<()> {
        let host = session.host()?;
        let mut found = Vec::new();
        match &demand.target {
            Target::Image(names) => {
                let is_remote =
                    function.starts_with("registry::") || matches!(demand.effect, Effect::Pull | Effect::Push);
                for name in names.meant.iter().chain(&names.either) {
                    if is_remote && demand.effect != Effect::Read {
                        found.push(host.pin_remote(&session.context(), name, tls_verify(args))?);
                    } else {
                        found.push(host.pin_name(name)?);
                    }
                }
                if demand.effect == Effect::Delete
                    && !is_remote
                    && function != "image::untag"
                    && function != "Image.untag"
                {
                    let text = names
                        .meant
                        .first()
                        .map(ToString::to_string)
                        .or_else(|| names.id.clone());
                    let image = text.map(|text| host.find_image(&text)).transpose()?.flatten();
                    found.extend(image.as_ref().map(Pin::image));
                }
            }
            Target::Object(names) if is_of_volumes(function) => {
                for name in names {
                    found.push(host.pin_volume(name)?);
                }
            }
            Target::Object(names) if demand.effect != Effect::Write || function.starts_with("Container.") => {
                let text = names.last().map(String::as_str).unwrap_or_default();
                found.extend(
                    host.container(text)
                        .ok()
                        .map(|container| host.pin_container(&container)),
                );
            }
            Target::Path(path) => found.push(Pin::file(path)),
            _ => {}
        }
        if ["registry::copy", "registry::mutate", "registry::tag"].contains(&function)
            && let Some(name) = args
                .first()
                .and_then(|value| (**value).clone().into_string().ok()?.parse::<Reference>().ok())
            && demand.effect == Effect::Net
        {
            found.push(host.pin_remote(&session.context(), &name, tls_verify(args))?);
        }
        if let Some(index) = index_of(args)
            && demand.effect == Effect::Push
        {
            for (name, verify) in index.sources().0 {
                if let Ok(name) = name.parse::<Reference>() {
                    found.push(host.pin_remote(&session.context(), &name, index.tls_verify(verify))?);
                }
            }
        }
        let inner = self.inner();
        for pin in found {
            if !inner.touched.contains(&pin.key()) && !pins.contains(&pin) {
                pins.push(pin);
            }
        }
        Ok(())
    }

    /// Writes down a call that was made in the simulated world.
    pub(super) fn record(&self, call: (&str, &[Demand], &Place), draft: Draft, result: &Dynamic) -> Result<()> {
        let (function, demands, place) = call;
        if is_batch(function) {
            return self.record_batch(function, place, &draft, result);
        }
        let names = |demand: &&Demand| demand.target.shown().is_some();
        let changes = |demand: &&Demand| !matches!(demand.effect, Effect::Read | Effect::Net);
        // What is copied to comes after what is copied from, which may be a directory of this machine.
        let changed = match function {
            "registry::copy" => demands.iter().rfind(names),
            _ => demands.iter().filter(changes).find(names),
        };
        let report = result.read_lock::<Report>().map(|report| report.clone());
        let mut step = step(function, draft.arguments, place);
        step.target = changed
            .or(demands.iter().find(names))
            .and_then(|demand| demand.target.shown())
            .unwrap_or_default();
        step.size = report.map(|report| report.removed_size()).or_else(|| size_of(result));
        step.result = outcome(function, result);
        let mut inner = self.inner();
        for pin in &draft.pins {
            inner.touched.insert(pin.key());
            if let Pin::Name { image: Some(id), .. } = pin {
                inner.touched.insert(format!("image {id}"));
            }
        }
        inner
            .touched
            .extend(demands.iter().flat_map(|demand| keys(demand, function)));
        inner.touched.extend(draft.made_of.map(|id| format!("image {id}")));
        if let Some(container) = result.read_lock::<Container>() {
            inner.touched.insert(format!("container {}", container.id()));
            inner.touched.insert(format!("image {}", container.image_id()));
        }
        if let Some(image) = result.read_lock::<Image>() {
            inner.touched.insert(format!("image {}", image.id()));
        }
        step.pins = draft.pins;
        inner.steps.push(step);
        Ok(())
    }

    /// Writes down each thing that a batch would do.
    fn record_batch(&self, function: &str, place: &Place, draft: &Draft, result: &Dynamic) -> Result<()> {
        let Some(report) = result.read_lock::<Report>().map(|report| report.clone()) else {
            return Ok(());
        };
        let (from, options) = &draft.given;
        let before = |kind: &str, item: &Item| {
            let key = format!("{kind} {}", item.id);
            draft.pins.iter().find(|pin| pin.key() == key).cloned()
        };
        for item in report.removed() {
            let (name, arguments, pin) = match function {
                "image::prune" => {
                    let arguments = vec![json!(item.id), json!({ "prune_parents": false })];
                    ("image::remove", arguments, before("image", item))
                }
                "container::prune" => {
                    let arguments = vec![json!({ "$container": item.id })];
                    ("Container.remove", arguments, before("container", item))
                }
                "volume::prune" => ("volume::remove", vec![json!(item.name)], before("volume", item)),
                _ => {
                    let arguments = vec![json!(item.name), chosen(options, &["tls_verify", "retries"])];
                    ("registry::delete_tag", arguments, None)
                }
            };
            self.push_item(name, arguments, place, item, pin);
        }
        if function == "registry::mirror" {
            let from: Reference = from.parse()?;
            let keys = ["tls_verify", "retries", "platforms", "referrers", "digest_tags"];
            for item in report.kept().iter().filter(|item| item.reason == "copied") {
                let source = format!("{}@{}", from.repository(), item.id);
                let arguments = vec![json!(source), json!(item.name), chosen(options, &keys)];
                self.push_item("registry::copy", arguments, place, item, None);
            }
        }
        Ok(())
    }

    fn push_item(&self, function: &str, arguments: Vec<Value>, place: &Place, item: &Item, pin: Option<Pin>) {
        let mut step = step(function, arguments, place);
        step.target.clone_from(&item.name);
        step.reason = Some(item.reason.clone());
        step.size = Some(item.size);
        let mut inner = self.inner();
        step.pins.extend(pin.filter(|pin| inner.touched.insert(pin.key())));
        inner.steps.push(step);
    }
}

fn is_of_volumes(function: &str) -> bool {
    function.starts_with("volume::") || function.starts_with("Volume.")
}

/// Functions that do something to each of many things.
fn is_batch(function: &str) -> bool {
    ["image::prune", "container::prune", "volume::prune", "registry::mirror"].contains(&function)
}

fn step(function: &str, arguments: Vec<Value>, place: &Place) -> Step {
    Step {
        function: function.to_owned(),
        arguments,
        target: String::new(),
        reason: None,
        size: None,
        script: place.script.clone(),
        line: place.position.map(|position| position.0),
        column: place.position.map(|position| position.1),
        pins: Vec::new(),
        result: None,
    }
}

/// A value as a plan holds it. Errors: `unsupported` for closures and secrets.
fn argument(function: &str, value: &Dynamic) -> Result<Value> {
    if let Some(image) = value.read_lock::<Image>() {
        return Ok(json!({ "$image": image.id().as_str() }));
    }
    if let Some(container) = value.read_lock::<Container>() {
        return Ok(json!({ "$container": container.id().as_str() }));
    }
    if let Some(volume) = value.read_lock::<Volume>() {
        return Ok(json!({ "$volume": volume.name() }));
    }
    if let Some(index) = value.read_lock::<Index>() {
        return Ok(json!({ "$index": index.recipe() }));
    }
    if let Some(bytes) = value.read_lock::<Blob>() {
        return Ok(json!({ "$bytes": STANDARD.encode(bytes.as_slice()) }));
    }
    if value.is::<super::secret::Secret>() {
        return Err(unforeseen(
            &format!("`{function}`"),
            "a plan is a file, and would hold a secret",
        ));
    }
    if value.read_lock::<FnPtr>().is_some() {
        return Err(unforeseen(&format!("`{function}`"), "a plan cannot hold a closure"));
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| argument(function, item)).collect();
    }
    if let Some(fields) = value.read_lock::<Map>() {
        if let Some(secret) = SECRET.iter().find(|name| fields.get(**name).is_some_and(holds_secret)) {
            let why = format!("a plan is a file, and would hold the option `{secret}`");
            return Err(unforeseen(&format!("`{function}`"), &why));
        }
        let fields = fields
            .iter()
            .map(|(name, value)| Ok((name.to_string(), argument(function, value)?)));
        return fields.collect::<Result<serde_json::Map<_, _>>>().map(Value::Object);
    }
    match value.clone().try_cast::<super::duration::Duration>() {
        Some(span) => Ok(json!(super::object::Object::text(&span))),
        None => to_json(value),
    }
}

/// Secrets in files are named by their paths, in an array.
fn holds_secret(value: &Dynamic) -> bool {
    !value.is_unit() && value.read_lock::<Array>().is_none()
}

/// The value that a plan holds.
fn given(value: &Value, session: &Session) -> Result<Dynamic> {
    let text = |map: &serde_json::Map<String, Value>, key: &str| match (map.len(), map.get(key)) {
        (1, Some(Value::String(text))) => Some(text.clone()),
        _ => None,
    };
    match value {
        Value::Object(map) => {
            if let Some(id) = text(map, "$image") {
                return Ok(Dynamic::from(session.host()?.image(&id)?));
            }
            if let Some(id) = text(map, "$container") {
                return Ok(Dynamic::from(session.host()?.container(&id)?));
            }
            if let Some(name) = text(map, "$volume") {
                return Ok(Dynamic::from(session.host()?.volume(&name)?));
            }
            if let Some(bytes) = text(map, "$bytes") {
                let bytes = STANDARD.decode(bytes);
                return bytes
                    .map(Dynamic::from_blob)
                    .map_err(|cause| Error::corrupt(format!("the plan's bytes are none: {cause}")));
            }
            if let (1, Some(recipe)) = (map.len(), map.get("$index")) {
                let recipe = serde_json::from_value(recipe.clone())
                    .map_err(|cause| Error::corrupt(format!("the plan's index is none: {cause}")))?;
                let index = session.host()?.index_again(&session.context(), &recipe)?;
                return Ok(Dynamic::from(index));
            }
            let fields = map
                .iter()
                .map(|(name, value)| Ok((name.into(), given(value, session)?)));
            fields.collect::<Result<Map>>().map(Dynamic::from)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| given(item, session))
            .collect::<Result<Array>>()
            .map(Dynamic::from),
        other => Ok(from_json(other)),
    }
}

/// What a call says of certificates: by the option `tls_verify`, or as the index does that it is about.
fn tls_verify(args: &[&mut Dynamic]) -> Option<bool> {
    let option = || args.last()?.read_lock::<Map>()?.get("tls_verify")?.as_bool().ok();
    option().or_else(|| index_of(args)?.tls_verify(None))
}

fn index_of(args: &[&mut Dynamic]) -> Option<Index> {
    args.first()?.read_lock::<Index>().map(|index| index.clone())
}

/// These of the options.
fn chosen(options: &Value, keys: &[&str]) -> Value {
    let options = options.as_object();
    let chosen = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), options?.get(*key)?.clone())));
    Value::Object(chosen.collect())
}

/// What later steps may have to do with: an id that will be another, a path, a code that was taken to be 0.
fn outcome(function: &str, result: &Dynamic) -> Option<Value> {
    if let Some(container) = result.read_lock::<Container>() {
        return Some(json!({ "$container": container.id().as_str() }));
    }
    if let Some(image) = result.read_lock::<Image>() {
        return Some(json!({ "$image": image.id().as_str() }));
    }
    match function {
        "Container.wait" | "fs::temp_dir" | "fs::temp_file" => to_json(result).ok(),
        _ => None,
    }
}

fn size_of(result: &Dynamic) -> Option<u64> {
    let size = result.read_lock::<Image>().map(|image| image.size());
    let in_map = || result.read_lock::<Map>()?.get("size")?.as_int().ok()?.try_into().ok();
    size.or_else(in_map)
}

/// What a call changes, by the keys of pins.
fn keys(demand: &Demand, function: &str) -> Vec<String> {
    match &demand.target {
        Target::Image(names) => {
            let kind = if function.starts_with("registry::") || function == "Index.push" {
                "remote"
            } else {
                "name"
            };
            names
                .meant
                .iter()
                .map(|name| format!("{kind} {}", name.familiar()))
                .collect()
        }
        Target::Object(names) if is_of_volumes(function) => names.iter().map(|name| format!("volume {name}")).collect(),
        Target::Object(names) => names.last().map(|id| format!("container {id}")).into_iter().collect(),
        Target::Path(path) | Target::Own(path) => vec![format!("file {}", path.display())],
        _ => Vec::new(),
    }
}

impl Blueprint {
    /// The plan in a file. Errors: `invalid` for what is none, or is of another version's form.
    pub fn read(text: &str) -> Result<Blueprint> {
        let value: Value =
            serde_json::from_str(text).map_err(|cause| Error::invalid(format!("it is not JSON: {cause}")))?;
        let form = value.get("hoist_plan").and_then(Value::as_u64);
        match form {
            Some(form) if form == u64::from(FORMAT) => {}
            Some(form) => {
                return Err(Error::unsupported(format!(
                    "it is a plan of form {form}, and this version reads form {FORMAT}"
                ))
                .hint("make a new plan"));
            }
            None => return Err(Error::invalid("it is not a plan").hint("`hoist plan FILE -o PLAN` makes one")),
        }
        serde_json::from_value(value).map_err(|cause| Error::invalid(format!("it is not a plan: {cause}")))
    }

    /// Errors: `conflict`, naming all that is no longer what it was.
    pub fn check(&self, session: &Session) -> Result<()> {
        let root = session.settings().config.root.display().to_string();
        if root != self.root {
            return Err(Error::conflict(format!(
                "the plan is for the store `{}`, not for `{root}`",
                self.root
            )));
        }
        moved(session, self.actions.iter().flat_map(|step| &step.pins))
    }
}

/// Errors: `conflict` if anything is not what it was.
pub fn moved<'a>(session: &Session, pins: impl IntoIterator<Item = &'a Pin>) -> Result<()> {
    let (host, ctx) = (session.host()?, session.context());
    let found = pins.into_iter().map(|pin| host.moved(&ctx, pin));
    let found: Vec<String> = found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::conflict(format!("the plan no longer fits: {}", found.join("; "))).hint("make a new plan")),
    }
}

/// What a plan foresaw, and what came of it: ids and paths that later steps name.
#[derive(Default)]
pub struct Outcomes(Vec<(String, String)>);

impl Outcomes {
    /// The arguments of a step, with what earlier ones gave in place of what was foreseen.
    pub fn arguments(&self, session: &Session, step: &Step) -> Result<Vec<Dynamic>> {
        step.arguments
            .iter()
            .map(|value| given(&self.renewed(value), session))
            .collect()
    }

    fn renewed(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(
                self.0
                    .iter()
                    .fold(text.clone(), |text, (old, new)| text.replace(old, new))
            ),
            Value::Array(items) => items.iter().map(|item| self.renewed(item)).collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.renewed(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// Notes what a step gave. Errors: `conflict` where that is not what the plan relies on.
    pub fn note(&mut self, step: &Step, result: &Dynamic) -> Result<()> {
        let Some(foreseen) = &step.result else { return Ok(()) };
        let came = outcome(&step.function, result).unwrap_or_default();
        // What is pulled is pinned; what is made here may get another id.
        let is_pinned = step.function == "image::pull";
        match (word(foreseen), word(&came)) {
            (Some(old), Some(new)) if !is_pinned => self.0.push((old, new)),
            _ if *foreseen == came => {}
            _ => {
                return Err(Error::conflict(format!(
                    "`{}` gave {came}, where the plan relies on {foreseen}",
                    step.function
                ))
                .target(step.target.clone()));
            }
        }
        Ok(())
    }
}

/// The id or the path.
fn word(value: &Value) -> Option<String> {
    let text = match value {
        Value::Object(map) => map.values().next(),
        other => Some(other),
    };
    text?.as_str().map(str::to_owned)
}
