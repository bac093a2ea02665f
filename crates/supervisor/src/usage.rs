//! What containers and processes use now.
use std::fs;

use serde::Serialize;

use crate::cgroups::Cgroups;

/// CPU time since its start, and memory without the page cache that could be given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub memory_bytes: u64,
}

/// The use of a whole group; zero for what its controllers do not say.
pub fn of_group(cgroups: &Cgroups, group: &str) -> Usage {
    let read = |controller: &str, name: &str| {
        let file = cgroups.file(controller, group, name)?;
        fs::read_to_string(file).ok()
    };
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<u64>().ok());
    let (cpu_seconds, memory, cache) = if cgroups.is_unified() {
        let microseconds = field(read("cpu", "cpu.stat").as_deref(), "usage_usec");
        (
            seconds(microseconds, 1e6),
            number(read("memory", "memory.current")),
            field(read("memory", "memory.stat").as_deref(), "inactive_file"),
        )
    } else {
        (
            seconds(number(read("cpuacct", "cpuacct.usage")).unwrap_or(0), 1e9),
            number(read("memory", "memory.usage_in_bytes")),
            field(
                read("memory", "memory.stat").as_deref(),
                "total_inactive_file",
            ),
        )
    };
    Usage {
        cpu_seconds,
        memory_bytes: memory.unwrap_or(0).saturating_sub(cache),
    }
}

/// How often the kernel killed something in this group for want of memory.
pub fn oom_kills(cgroups: &Cgroups, group: &str) -> u64 {
    let name = if cgroups.is_unified() {
        "memory.events"
    } else {
        "memory.oom_control"
    };
    let file = cgroups.file("memory", group, name);
    field(
        file.and_then(|file| fs::read_to_string(file).ok())
            .as_deref(),
        "oom_kill",
    )
}

#[allow(clippy::cast_precision_loss)] // 2^53 ns are three months of CPU time at full precision; beyond, rounding
fn seconds(count: u64, per_second: f64) -> f64 {
    count as f64 / per_second
}

/// The number after `name` in lines of `name number`.
fn field(text: Option<&str>, name: &str) -> u64 {
    text.unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(Some(text), "oom_kill"), 3);
        assert_eq!(field(Some(text), "missing"), 0);
        assert_eq!(field(None, "oom_kill"), 0);
    }
}
