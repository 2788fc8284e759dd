//! What the machine gives: open files and memory. Elsewhere than on Linux nothing is known of them, and little is assumed.

/// Kept for operators, the store, files that are read, and whatever else is not a client's or a provider's connection.
pub(super) const KEPT_FILES: usize = 128;

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
    256 + KEPT_FILES
}

/// Bytes that the process may have: what its control group allows, else what the machine has.
pub(super) fn memory() -> usize {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let group = group.into_iter().filter_map(number).min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: usize = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    });
    group.into_iter().chain(machine).min().unwrap_or(usize::MAX)
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
