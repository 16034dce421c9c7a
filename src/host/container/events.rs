//! What happens to a container, told to those who listen.

use std::collections::BTreeMap;

use super::Container;
use crate::runtime::Event;

/// What an event tells of the container it happened to, as with Docker: image, name and labels.
pub(super) fn attributes(image: &str, name: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut attributes = labels.clone();
    attributes.insert("image".to_owned(), image.to_owned());
    attributes.insert("name".to_owned(), name.to_owned());
    attributes
}

impl Container {
    /// Tells what happened to it, with these facts.
    pub(super) fn tell(&self, action: &str, facts: &[(&str, &str)]) {
        let event = Event {
            attributes: attributes(self.image(), self.name(), self.labels()),
            ..Event::now("container", action, self.id().as_str())
        };
        let event = facts
            .iter()
            .fold(event, |event, (name, value)| event.with(name, *value));
        self.host.tell(&event);
    }
}
