//! The control groups that exist on this machine: version 1 hierarchies or the one of version 2.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::failure::{Context, Failure, Result};
use crate::usage;

/// How long a group may take to become empty after SIGKILL before it is left alone.
const EMPTY_LIMIT: Duration = Duration::from_secs(5);

/// Limits of a native process; containers get theirs from the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub cpu_millis: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub pids: Option<u64>,
}

/// Where the hierarchies are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    unified: bool,
    /// Controller (or `name=systemd`) to mount point; on version 2 every controller has the same one.
    controllers: BTreeMap<String, PathBuf>,
    /// Version 1: a plain directory that stands where the hybrid mount was, into which the runtime writes in vain.
    stand_in: Option<PathBuf>,
}

// === impl Cgroups ===

impl Cgroups {
    /// Reads the mounts as `/proc/self/mountinfo` tells them.
    pub fn find(stand_in: Option<PathBuf>) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mut found = Self::parse(&mounts);
        found.stand_in = stand_in;
        if found.unified
            && let Some(root) = found.controllers.values().next().cloned()
        {
            let names = fs::read_to_string(root.join("cgroup.controllers"))?;
            found.controllers = names
                .split_whitespace()
                .map(|name| (name.to_owned(), root.clone()))
                .collect();
        }
        Ok(found)
    }

    fn parse(mountinfo: &str) -> Self {
        let mut found = Self {
            unified: false,
            controllers: BTreeMap::new(),
            stand_in: None,
        };
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4) else {
                continue;
            };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if point == "/sys/fs/cgroup" => {
                    found.unified = true;
                    found.controllers.insert(String::new(), point.into());
                }
                (Some("cgroup"), Some(options)) => {
                    let names = options.split(',').filter(|name| is_controller(name));
                    for name in names {
                        found.controllers.insert(name.to_owned(), point.into());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The controllers' names, for `hello` and `doctor`.
    pub fn names(&self) -> Vec<&str> {
        self.controllers
            .keys()
            .map(String::as_str)
            .filter(|name| !name.contains('='))
            .collect()
    }

    fn points(&self) -> BTreeSet<&Path> {
        self.controllers.values().map(PathBuf::as_path).collect()
    }

    fn directories(&self, group: &str) -> Vec<PathBuf> {
        let relative = group.trim_start_matches('/');
        self.points()
            .iter()
            .map(|point| point.join(relative))
            .collect()
    }

    /// One file of a controller in a group; `None` when the controller does not exist.
    pub fn file(&self, controller: &str, group: &str, name: &str) -> Option<PathBuf> {
        let point = self.controllers.get(controller)?;
        Some(point.join(group.trim_start_matches('/')).join(name))
    }

    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Makes a group, sets its limits, and opens the files through which a process enters it.
    pub fn enter(&self, group: &str, limits: &Limits) -> Result<Vec<File>> {
        let mut entries = Vec::new();
        for directory in self.directories(group) {
            fs::create_dir_all(&directory)
                .context(|| format!("cannot make cgroup {}", directory.display()))?;
            self.inherit(&directory, group)?;
        }
        self.limit(group, limits)?;
        for directory in self.directories(group) {
            let file = directory.join("cgroup.procs");
            let opened = OpenOptions::new()
                .write(true)
                .open(&file)
                .context(|| format!("cannot open {}", file.display()))?;
            entries.push(opened);
        }
        Ok(entries)
    }

    /// Version 1's cpuset is empty in a new group and version 2 hands controllers down only on demand.
    fn inherit(&self, directory: &Path, group: &str) -> Result<()> {
        let depth = group.trim_matches('/').split('/').count();
        let mut chain: Vec<&Path> = directory.ancestors().take(depth + 1).collect();
        chain.reverse();
        for pair in chain.windows(2) {
            if self.unified {
                let wanted: String = self
                    .controllers
                    .keys()
                    .map(|name| format!("+{name} "))
                    .collect();
                // A controller that cannot be handed down leaves its limits unset, which `limit` then reports.
                let _ = fs::write(pair[0].join("cgroup.subtree_control"), wanted.trim());
                continue;
            }
            for name in ["cpuset.cpus", "cpuset.mems"] {
                let Ok(current) = fs::read_to_string(pair[1].join(name)) else {
                    continue;
                };
                if current.trim().is_empty() {
                    let above = fs::read_to_string(pair[0].join(name)).unwrap_or_default();
                    fs::write(pair[1].join(name), above.trim())
                        .context(|| format!("cannot set {name} of {group}"))?;
                }
            }
        }
        Ok(())
    }

    fn limit(&self, group: &str, limits: &Limits) -> Result<()> {
        for (controller, name, value) in settings(self.unified, limits, false) {
            if let Some(file) = self.file(controller, group, name) {
                fs::write(&file, &value)
                    .context(|| format!("cannot set {} to {value}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Changes the limits of a group that exists; one that is not named is taken away.
    pub fn update(&self, group: &str, limits: &Limits) -> Result<()> {
        if let Some(bytes) = limits.memory_bytes {
            self.check_memory(group, bytes)?;
        }
        for (controller, name, value) in settings(self.unified, limits, true) {
            if let Some(file) = self.file(controller, group, name) {
                fs::write(&file, &value)
                    .context(|| format!("cannot set {} to {value}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Version 2 would end processes to get below a limit that is lower than what they use.
    fn check_memory(&self, group: &str, wanted: u64) -> Result<()> {
        let used = usage::of_group(self, group).memory_bytes;
        if used > wanted {
            return Err(Failure::invalid(format!(
                "attempting to set memory limit ({wanted}) below current usage ({used})"
            )));
        }
        Ok(())
    }

    /// The processes in a group and all groups below it, in any hierarchy.
    pub fn members(&self, group: &str) -> BTreeSet<i32> {
        let mut members = BTreeSet::new();
        for directory in self.directories(group) {
            walk(&directory, &mut |at| {
                let text = fs::read_to_string(at.join("cgroup.procs")).unwrap_or_default();
                members.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            });
        }
        members.remove(&0);
        members
    }

    /// Kills everything in a group until it is empty or the limit is over; returns whether it is empty.
    pub async fn kill(&self, group: &str) -> bool {
        let deadline = Instant::now() + EMPTY_LIMIT;
        loop {
            let members = self.members(group);
            if members.is_empty() {
                return true;
            }
            for pid in members.into_iter().filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL); // it may have ended since
            }
            if Instant::now() >= deadline {
                return false;
            }
            // The kernel has no event for "this version 1 group is empty".
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Removes a group and those below it, in every hierarchy. True when nothing is left of it.
    pub async fn remove(&self, group: &str) -> bool {
        if let Some(stand_in) = &self.stand_in {
            let _ = fs::remove_dir_all(stand_in.join(group.trim_start_matches('/')));
        }
        for _ in 0..20 {
            let mut left = false;
            for directory in self.directories(group) {
                walk(&directory, &mut |at| {
                    let _ = fs::remove_dir(at);
                });
                left |= directory.exists();
            }
            if !left {
                return true;
            }
            // A group stays busy for a moment after its last process was reaped.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Removes a group if nothing is in it, without waiting.
    pub fn remove_if_empty(&self, group: &str) {
        for directory in self.directories(group) {
            let _ = fs::remove_dir(directory);
        }
        if let Some(stand_in) = &self.stand_in {
            let _ = fs::remove_dir(stand_in.join(group.trim_start_matches('/')));
        }
    }
}

/// Controller, file and text for each limit; with `all` also for those that are not set.
fn settings(
    unified: bool,
    limits: &Limits,
    all: bool,
) -> Vec<(&'static str, &'static str, String)> {
    const PERIOD_US: u64 = 100_000;
    let mut wanted = Vec::new();
    let none = if unified { "max" } else { "-1" };
    if limits.memory_bytes.is_some() || all {
        let text = limits
            .memory_bytes
            .map_or_else(|| none.to_owned(), |bytes| bytes.to_string());
        let name = if unified {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        wanted.push(("memory", name, text));
    }
    if limits.cpu_millis.is_some() || all {
        let quota = limits.cpu_millis.map_or_else(
            || none.to_owned(),
            |millis| (millis * PERIOD_US / 1000).max(1000).to_string(),
        );
        wanted.push(if unified {
            ("cpu", "cpu.max", format!("{quota} {PERIOD_US}"))
        } else {
            ("cpu", "cpu.cfs_quota_us", quota)
        });
    }
    if limits.cpu_shares.is_some() || all {
        let shares = limits.cpu_shares.map_or(1024, |s| s.clamp(2, 262_144));
        let weight = match limits.cpu_shares {
            Some(_) => 1 + (shares - 2) * 9999 / 262_142,
            None => 100,
        };
        wanted.push(if unified {
            ("cpu", "cpu.weight", weight.to_string())
        } else {
            ("cpu", "cpu.shares", shares.to_string())
        });
    }
    match (limits.pids, all) {
        (Some(pids), _) => wanted.push(("pids", "pids.max", pids.to_string())),
        (None, true) => wanted.push(("pids", "pids.max", "max".to_owned())),
        (None, false) => {}
    }
    wanted
}

fn is_controller(name: &str) -> bool {
    !matches!(
        name,
        "rw" | "ro" | "noprefix" | "clone_children" | "cpuset_v2_mode" | "xattr"
    ) && !name.starts_with("release_agent=")
}

/// Visits the directories below and at `directory`, deepest first.
fn walk(directory: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
    visit(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_version_1_hierarchies_and_ignores_the_hybrid_mount() {
        let found = Cgroups::parse(
            "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
        );
        assert!(!found.is_unified());
        assert_eq!(found.names(), ["cpu", "cpuacct"]);
        assert_eq!(found.points().len(), 2);
        assert_eq!(
            found.file("cpuacct", "/a/b", "cpuacct.usage"),
            Some("/sys/fs/cgroup/cpu,cpuacct/a/b/cpuacct.usage".into())
        );
        assert_eq!(found.file("memory", "/a", "x"), None);
    }

    #[test]
    fn limits_are_changed_and_taken_away_in_both_versions() {
        let some = Limits {
            memory_bytes: Some(1 << 20),
            cpu_millis: Some(250),
            cpu_shares: Some(256),
            pids: Some(7),
        };
        let lines = |unified, limits: &Limits, all| -> Vec<String> {
            let found = settings(unified, limits, all).into_iter();
            found
                .map(|(_, name, value)| format!("{name}={value}"))
                .collect()
        };
        let one = [
            "memory.limit_in_bytes=1048576",
            "cpu.cfs_quota_us=25000",
            "cpu.shares=256",
            "pids.max=7",
        ];
        let two = [
            "memory.max=1048576",
            "cpu.max=25000 100000",
            "cpu.weight=10",
            "pids.max=7",
        ];
        assert_eq!(lines(false, &some, false), one);
        assert_eq!(lines(true, &some, true), two);
        let none = Limits::default();
        assert!(lines(true, &none, false).is_empty());
        let one = [
            "memory.limit_in_bytes=-1",
            "cpu.cfs_quota_us=-1",
            "cpu.shares=1024",
            "pids.max=max",
        ];
        let two = [
            "memory.max=max",
            "cpu.max=max 100000",
            "cpu.weight=100",
            "pids.max=max",
        ];
        assert_eq!(lines(false, &none, true), one);
        assert_eq!(lines(true, &none, true), two);
    }

    #[test]
    fn finds_version_2() {
        let found =
            Cgroups::parse("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
        assert!(found.is_unified());
        assert_eq!(
            found.directories("/x/y"),
            [PathBuf::from("/sys/fs/cgroup/x/y")]
        );
    }
}
