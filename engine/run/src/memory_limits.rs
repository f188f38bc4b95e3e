//! Memory that this process may use where somebody set a limit: a control group (containers, Kubernetes, systemd, Slurm) or Slurm's own
//! word. Whoever goes beyond is killed without a warning, however much memory the machine has.

use std::path::Path;

/// Limits from here on are none: systems write "no limit" as numbers near the largest.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes that the strictest limit leaves to this process; nothing where there is none.
pub fn left_by_limits(held_by_process: u64) -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok();
    let group = groups.and_then(|groups| left_by_groups(&groups, Path::new("/sys/fs/cgroup")));
    let variable = |name: &str| std::env::var(name).ok();
    let job = job_limit(&variable).map(|limit| limit.saturating_sub(held_by_process));
    group.into_iter().chain(job).min()
}

/// The least that any control group above this process leaves. `groups` is the text of `/proc/self/cgroup`; a process in a container may
/// see paths there that are not below its own root, so every folder from the path up to the root is looked at.
fn left_by_groups(groups: &str, root: &Path) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, names) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"])
            }
            _ => continue,
        };
        let path = path.trim_start_matches('/').trim_end_matches('/');
        for below in Path::new(path).ancestors() {
            least = left_in(&root.join(below), names).into_iter().chain(least).min();
        }
    }
    least
}

/// What one group leaves: its limit less what it holds, without files that are only cached.
fn left_in(folder: &Path, [limit, held, cached]: [&str; 3]) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < NO_LIMIT)?;
    let statistics = read("memory.stat").unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(number(held).unwrap_or(0).saturating_sub(cached.unwrap_or(0))))
}

/// What Slurm grants a job on this node, in bytes: it says MiB, and 0 for all that the node has.
fn job_limit(variable: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok().filter(|number| *number > 0);
    let mebibytes = match number("SLURM_MEM_PER_NODE") {
        Some(node) => Some(node),
        None => {
            let processors = number("SLURM_CPUS_ON_NODE").or_else(|| number("SLURM_CPUS_PER_TASK")).unwrap_or(1);
            number("SLURM_MEM_PER_CPU").map(|each| each.saturating_mul(processors))
        }
    };
    mebibytes.map(|mebibytes| mebibytes.saturating_mul(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_strictest_group_above_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let groups = "0::/slurm/job/step\n";
        assert_eq!(left_by_groups(groups, root), None, "there is no limit");
        group(&root.join("slurm/job/step"), &[("memory.max", "max\n"), ("memory.current", "500\n")]);
        assert_eq!(left_by_groups(groups, root), None);
        group(
            &root.join("slurm/job"),
            &[
                ("memory.max", "1000\n"),
                ("memory.current", "700\n"),
                ("memory.stat", "anon 400\ninactive_file 300\n"),
            ],
        );
        assert_eq!(left_by_groups(groups, root), Some(600), "a cached file makes room");
        group(root, &[("memory.max", "500\n"), ("memory.current", "100\n")]);
        assert_eq!(left_by_groups(groups, root), Some(400));
        // In a container the path may be that of the world outside; the root is the container's own.
        assert_eq!(left_by_groups("0::/outside/docker-1\n", root), Some(400));
    }

    #[test]
    fn groups_of_the_first_version_are_read_too() {
        let root = tempfile::tempdir().unwrap();
        let job = root.path().join("memory/job");
        let none = "9223372036854771712\n";
        group(
            &job,
            &[
                ("memory.limit_in_bytes", none),
                ("memory.usage_in_bytes", "10\n"),
                ("memory.stat", "total_inactive_file 4\n"),
            ],
        );
        let groups = "12:cpu,cpuacct:/job\n5:hugetlb,memory:/job\n1:name=systemd:/\n";
        assert_eq!(left_by_groups(groups, root.path()), None);
        std::fs::write(job.join("memory.limit_in_bytes"), "100\n").unwrap();
        assert_eq!(left_by_groups(groups, root.path()), Some(94));
        assert_eq!(left_by_groups("nonsense\n5:memory\n", root.path()), None);
    }

    #[test]
    fn slurm_grants_by_node_or_by_processor() {
        let limit = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            job_limit(&|name: &str| set.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone()))
        };
        assert_eq!(limit(&[("SLURM_MEM_PER_NODE", "2048")]), Some(2 << 30));
        assert_eq!(limit(&[("SLURM_MEM_PER_CPU", "512"), ("SLURM_CPUS_ON_NODE", "4")]), Some(2 << 30));
        assert_eq!(limit(&[("SLURM_MEM_PER_NODE", "0")]), None, "all of the node");
        assert_eq!(limit(&[]), None);
    }
}
