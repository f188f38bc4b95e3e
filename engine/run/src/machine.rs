//! What the machine has: memory free, peak memory and processor time of this process.

use std::time::Duration;

use crate::memory_limits::left_by_limits;

/// Memory that can be used without pushing others out or going beyond a limit, in bytes; `None` where the system does not say.
pub fn available_memory() -> Option<u64> {
    let free = field("/proc/meminfo", "MemAvailable:").map(|kilobytes| kilobytes * 1024);
    free.into_iter().chain(memory_left_by_limits()).min()
}

/// All memory of the machine, in bytes; `None` where the system does not say.
pub fn total_memory() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:").map(|kilobytes| kilobytes * 1024)
}

/// What a control group or Slurm leaves to this process, in bytes; `None` where neither sets a limit.
pub fn memory_left_by_limits() -> Option<u64> {
    left_by_limits(field("/proc/self/status", "VmRSS:").map_or(0, |kilobytes| kilobytes * 1024))
}

/// The most memory that this process has held so far, in bytes; `None` where the system does not say.
pub fn peak_memory() -> Option<u64> {
    field("/proc/self/status", "VmHWM:").map(|kilobytes| kilobytes * 1024)
}

/// Processor time of this process, all threads together; `None` where the system does not say.
pub fn processor_time() -> Option<Duration> {
    // Fields 14 and 15 of the line, counted after the command's closing bracket, are user and system time in ticks of 10 ms.
    let line = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A size for display: `1.4 GiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A duration for display: `3 min 20 s`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{:.1} s", duration.as_secs_f64()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(format_bytes(900), "900 B");
        assert_eq!(format_bytes(3 << 29), "1.5 GiB");
        assert_eq!(format_duration(Duration::from_millis(400)), "0.4 s");
        assert_eq!(format_duration(Duration::from_secs(3725)), "1 h 2 min");
    }
}
