//! How an image came to be, joined with what each step weighs.

use super::config::{Config, Step};
use super::image::Layer;
use crate::model::Digest;

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The image that it made, where that is at hand.
    pub id: Option<Digest>,
    /// When (RFC 3339).
    pub created: Option<String>,
    /// By which command; empty where it is not told.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// By whom.
    pub author: String,
    /// Bytes of the layer's files.
    pub size: u64,
    /// Whether the step made no layer.
    pub empty_layer: bool,
}

/// The steps, newest first as `docker history` shows them, without ids: which images there are is not known here. Layers that no step tells of come as steps without words.
pub fn history(config: &Config, layers: &[Layer]) -> Vec<History> {
    let mut sizes = layers.iter().map(|layer| layer.size);
    let mut steps: Vec<History> = Vec::new();
    for step in &config.history {
        let size = if step.empty_layer { None } else { sizes.next() };
        steps.push(told(step, size.unwrap_or(0)));
    }
    steps.extend(sizes.map(|size| told(&Step::default(), size)));
    steps.reverse();
    steps
}

fn told(step: &Step, size: u64) -> History {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    History {
        id: None,
        created: step.created.clone(),
        created_by: text(&step.created_by),
        comment: text(&step.comment),
        author: text(&step.author),
        size,
        empty_layer: step.empty_layer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_to_the_steps_that_made_layers() {
        let layer = |size| {
            let digest = Digest::of(b"");
            Layer {
                diff_id: digest.clone(),
                blob: digest,
                blob_size: 0,
                media_type: String::new(),
                size,
            }
        };
        let step = |by: &str, empty_layer| Step {
            created_by: Some(by.into()),
            empty_layer,
            ..Step::default()
        };
        let config = Config {
            history: vec![step("a", false), step("b", true), step("c", false)],
            ..Config::default()
        };
        let told = history(&config, &[layer(1), layer(2), layer(3)]);
        let shown: Vec<_> = told.iter().map(|step| (step.created_by.as_str(), step.size)).collect();
        assert_eq!(shown, [("", 3), ("c", 2), ("b", 0), ("a", 1)]);
    }
}
