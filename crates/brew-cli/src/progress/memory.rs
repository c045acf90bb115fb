//! The memory that this process takes.

use std::fs;

/// Bytes of memory that are resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) now: u64,
    /// At most, since the process began.
    pub(super) peak: u64,
}

/// What Linux says of this process in `/proc/self/status`
/// (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>); `None` on other systems.
pub(super) fn resident() -> Option<Resident> {
    read(&fs::read_to_string("/proc/self/status").ok()?)
}

fn read(status: &str) -> Option<Resident> {
    let bytes = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kilobytes)
    };
    Some(Resident { now: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lines_are_found_among_the_others() {
        let status =
            "Name:\ttextbrew\nVmPeak:\t  900 kB\nVmHWM:\t   400 kB\nVmRSS:\t   300 kB\nThreads:\t3\n";
        assert_eq!(read(status), Some(Resident { now: 300 * 1024, peak: 400 * 1024 }));
        assert_eq!(read("Name:\ttextbrew\n"), None);
    }
}
