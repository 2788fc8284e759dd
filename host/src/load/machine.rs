//! What the machine gives: open files and memory. Elsewhere than on Linux nothing is known of them, and little is assumed.

use std::path::{Path, PathBuf};

/// Kept for the store, files that are read, and whatever else is no connection of a client's, an operator's or to a provider.
pub(super) const OWN_FILES: usize = 64;

/// How many files may be open at one time; asks for as many as there may be.
#[cfg(target_os = "linux")]
pub(super) fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, all) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // Where there is no limit, memory is one.
    now.map_or(1 << 20, |files| usize::try_from(files).unwrap_or(1 << 20))
        .min(1 << 20)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_files() -> usize {
    384
}

/// Bytes that the process may have: what its control group allows and those above it, else what the machine has.
pub(super) fn memory() -> usize {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let number = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let group = limits(&own).filter_map(number).min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: usize = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    });
    group.into_iter().chain(machine).min().unwrap_or(usize::MAX)
}

/// Where the limits of a process' control groups are, by what the system says of them: `0::/a/b` of the second version, `4:memory:/a/b`
/// of the first. In a container the path may be one that only the world outside knows; the outermost folder is the container's then.
fn limits(own: &str) -> impl Iterator<Item = PathBuf> {
    let group = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let folders = path.ancestors().map(|folder| Path::new(root).join(folder).join(file));
        Some(folders.collect::<Vec<_>>())
    };
    own.lines().filter_map(group).flatten().collect::<Vec<_>>().into_iter()
}

/// Bytes that the process has; none where the system does not say.
pub(super) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages)
    });
    pages.map_or(0, |pages| pages * page_size())
}

#[cfg(target_os = "linux")]
fn page_size() -> usize {
    rustix::param::page_size()
}

#[cfg(not(target_os = "linux"))]
fn page_size() -> usize {
    4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_process_are_those_of_its_groups_and_of_all_above_them() {
        let of = |own| limits(own).map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            of("0::/system.slice/pointsman.service\n"),
            [
                "/sys/fs/cgroup/system.slice/pointsman.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            of("5:cpu:/x\n4:memory,hugetlb:/y\nrubbish\n"),
            [
                "/sys/fs/cgroup/memory/y/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert!(memory() > 0);
    }
}
