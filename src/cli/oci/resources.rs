//! `hoist oci update`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::Global;
use crate::error::{Context, Error, Result};
use crate::model::ByteSize;
use crate::runtime::oci::{self, Place};

/// Change the limits of a container
#[derive(Args)]
pub(super) struct Update {
    /// A file with the `linux.resources` of a configuration; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of its disk accesses
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Length of a period of processor time, in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// Processor time in a period, in microseconds; -1 is all
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// What may be saved up of it, in microseconds
    #[arg(long, value_name = "N")]
    cpu_burst: Option<u64>,
    /// Length of a real-time period, in microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_period: Option<u64>,
    /// Real time in such a period, in microseconds
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// Share of processor time
    #[arg(long, value_name = "N")]
    cpu_share: Option<u64>,
    /// 1 lets it run only when nothing else does
    #[arg(long, value_name = "N")]
    cpu_idle: Option<i64>,
    /// Processors
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory, such as 512m; -1 is all
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory it is left when memory is short
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Memory and swap together; -1 is all
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Processes; -1 is any number
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    id: String,
}

impl Update {
    pub(super) fn perform(&self, global: &Global) -> Result<()> {
        let resources = match &self.resources {
            Some(path) => read(path)?,
            None => self.named()?,
        };
        let resources = serde_json::from_value(resources)
            .map_err(|cause| Error::invalid(format!("the resources are not those of a configuration: {cause}")))?;
        oci::update(&Place::new(&global.root, &self.id)?, &resources)
    }

    /// What the options come to.
    fn named(&self) -> Result<Value> {
        Ok(json!({
            "memory": without_null(json!({
                "limit": size(self.memory.as_deref())?,
                "reservation": size(self.memory_reservation.as_deref())?,
                "swap": size(self.memory_swap.as_deref())?,
            })),
            "cpu": without_null(json!({
                "shares": self.cpu_share,
                "period": self.cpu_period,
                "quota": self.cpu_quota,
                "burst": self.cpu_burst,
                "idle": self.cpu_idle,
                "realtimePeriod": self.cpu_rt_period,
                "realtimeRuntime": self.cpu_rt_runtime,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            })),
            "blockIO": without_null(json!({"weight": self.blkio_weight})),
            "pids": self.pids_limit.map(|limit| json!({"limit": limit})),
        }))
    }
}

fn read(path: &Path) -> Result<Value> {
    let mut text = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().read_to_end(&mut text).map(drop),
        false => std::fs::read(path).map(|read| text = read),
    };
    read.during(|| format!("read `{}`", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|cause| Error::invalid(format!("failed to read `{}`: {cause}", path.display())).source(cause))
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

fn size(text: Option<&str>) -> Result<Option<i64>> {
    match text {
        None => Ok(None),
        Some("-1") => Ok(Some(-1)),
        Some(text) => {
            let bytes = text.parse::<ByteSize>()?.0;
            let bytes = i64::try_from(bytes).map_err(|_| Error::invalid(format!("`{text}` is too much")))?;
            Ok(Some(bytes))
        }
    }
}
