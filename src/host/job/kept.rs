//! Containers that a run makes: they have a label of it, and end with it unless they are to be kept.

use std::collections::BTreeMap;

use crate::host::{ContainerFilter, Host, RemoveContainer};
use crate::runtime::RUN_FACT as RUN;

/// The label of those that stay.
const KEEP: &str = "hoist.keep";

impl Host {
    /// Labels a new container as made by the run that this process is, if it is one; those of another run, which its image may have from
    /// a container that was committed, are taken away.
    pub(in crate::host) fn label_with_run(&self, labels: &mut BTreeMap<String, String>, keep: bool) {
        labels.remove(RUN);
        labels.remove(KEEP);
        if let Some(run) = self.config().run {
            labels.insert(RUN.to_owned(), run.to_string());
            if keep {
                labels.insert(KEEP.to_owned(), "true".to_owned());
            }
        }
    }

    /// Removes the containers that a run has left and that are not to be kept. What cannot be removed is left to a person.
    pub(super) fn reap_containers(&self, run: i64) {
        let filter = ContainerFilter {
            all: true,
            label: Some(crate::model::Words(vec![format!("{RUN}={run}")])),
            ..ContainerFilter::default()
        };
        for container in self.containers(&filter, None).unwrap_or_default() {
            if !container.labels().contains_key(KEEP) {
                let _ = container.remove(&RemoveContainer {
                    force: true,
                    volumes: false,
                });
            }
        }
    }
}
