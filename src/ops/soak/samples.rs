//! What the nodes take: memory, descriptors, threads and disk, from `/proc` and the file system.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::node::process::{Taken, disk_of, taken};
use crate::ops::rig::cluster::{Cluster, Node};
use crate::types::{PeerId, node_name};

/// Samples of a run, about: a long one is sampled less often.
const SAMPLES: u32 = 720;

/// How often a run of this length is sampled.
pub(super) fn every(run: Duration) -> Duration {
    (run / SAMPLES).clamp(Duration::from_secs(1), Duration::from_secs(30))
}

/// One node at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Seconds after the begin of the load.
    pub at_s: f64,
    /// Bytes of memory.
    pub rss: f64,
    /// Open file descriptors.
    pub fds: f64,
    pub threads: f64,
    /// Bytes on the disk.
    pub disk: f64,
}

/// What is drawn and judged of a sample.
pub(super) type Of = fn(&Sample) -> f64;

/// All samples, by node.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<PeerId, Vec<Sample>>);

impl Samples {
    /// Takes one of each node that runs. Gives it as lines of the history.
    pub(super) fn take(&mut self, cluster: &Cluster, at_s: f64) -> Vec<Value> {
        let mut lines = Vec::new();
        for node in cluster.nodes() {
            if let Some(sample) = of(node, at_s) {
                lines.push(json!({
                    "at_s": sample.at_s, "node": node_name(node.id), "rss": sample.rss, "fds": sample.fds,
                    "threads": sample.threads, "disk": sample.disk,
                }));
                self.0.entry(node.id).or_default().push(sample);
            }
        }
        lines
    }

    /// Each node's series.
    pub(super) fn series(&self, of: Of) -> impl Iterator<Item = (PeerId, Vec<(f64, f64)>)> + '_ {
        self.0.iter().map(move |(node, samples)| {
            (*node, samples.iter().map(|sample| (sample.at_s, of(sample))).collect())
        })
    }
}

fn of(node: &Node, at_s: f64) -> Option<Sample> {
    let Taken { rss, fds, threads, .. } = taken(node.pid()?)?;
    Some(Sample { at_s, rss, fds, threads, disk: disk_of(&node.dir.join("store")) })
}
