//! How many CPUs this process may really use.
//!
//! The kernel's online count is the host's; a container has less, by affinity, by cpuset,
//! or by a CFS quota on its cgroup or on any ancestor. More busy threads than that only buy
//! throttling: every period ends with all of them asleep. Shares and weights are relative
//! and never a count.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::limits;

/// What the count was made of; `Display` is the log line.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpus {
    /// CPUs this process may run on, by `Cpus_allowed_list`.
    pub affinity: Option<usize>,
    /// CPUs of the cgroup's cpuset.
    pub cpuset: Option<usize>,
    /// Lowest quota of the cgroup and its ancestors, in CPUs.
    pub quota: Option<f64>,
    /// The file that holds that quota.
    pub quota_from: Option<PathBuf>,
    /// The lowest of them, the quota rounded up; at least 1.
    pub effective: usize,
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "effective CPUs: {} (affinity ", self.effective)?;
        count(f, self.affinity)?;
        f.write_str(", cpuset ")?;
        count(f, self.cpuset)?;
        match (&self.quota, &self.quota_from) {
            (Some(quota), Some(from)) => write!(f, ", quota {quota} by {})", from.display()),
            _ => f.write_str(", no quota)"),
        }
    }
}

fn count(f: &mut fmt::Formatter<'_>, count: Option<usize>) -> fmt::Result {
    match count {
        Some(count) => write!(f, "{count}"),
        None => f.write_str("unknown"),
    }
}

/// Reads the machine. `root` is `/` outside tests: all files are read below it.
#[must_use]
pub fn read(root: &Path) -> Cpus {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let affinity = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(|list| count_cpus(list.trim()))
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let (mut quota, mut cpuset): (Option<(f64, PathBuf)>, Option<usize>) = (None, None);
    for group in groups(root) {
        for found in group.quotas(root) {
            if quota.as_ref().is_none_or(|(lowest, _)| found.0 < *lowest) {
                quota = Some(found);
            }
        }
        if let Some(found) = group.cpuset(root) {
            cpuset = Some(cpuset.map_or(found, |lowest| lowest.min(found)));
        }
    }
    let (quota, quota_from) = quota.unzip();
    // A quota of less than a millionth of a CPU or of more than any machine has is no count.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let by_quota = quota.map(|quota: f64| quota.ceil().clamp(1.0, 1e6) as usize);
    let effective = [affinity, cpuset, by_quota].into_iter().flatten().min().unwrap_or(1).max(1);
    Cpus { affinity, cpuset, quota, quota_from, effective }
}

/// One cgroup hierarchy that this process is in.
struct Group {
    /// Where it is mounted.
    mount: PathBuf,
    /// Own directory, at or below `mount`.
    own: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Group {
    /// The quotas of this group and its ancestors, in CPUs.
    fn quotas(&self, root: &Path) -> Vec<(f64, PathBuf)> {
        let up = self.own.ancestors().take_while(|dir| dir.starts_with(&self.mount));
        up.filter_map(|dir| match self.version {
            Version::V2 => {
                let file = dir.join("cpu.max");
                let text = read_below(root, &file)?;
                let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
                Some((ratio(quota, period)?, file))
            }
            Version::V1 => {
                let file = dir.join("cpu.cfs_quota_us");
                let period = read_below(root, &dir.join("cpu.cfs_period_us"));
                let quota = read_below(root, &file)?;
                Some((ratio(&quota, period.as_deref().unwrap_or("100000"))?, file))
            }
        })
        .collect()
    }

    fn cpuset(&self, root: &Path) -> Option<usize> {
        let names: [&str; 2] = match self.version {
            Version::V2 => ["cpuset.cpus.effective", "cpuset.cpus"],
            Version::V1 => ["cpuset.effective_cpus", "cpuset.cpus"],
        };
        let lists = names.into_iter().filter_map(|name| read_below(root, &self.own.join(name)));
        // An empty list says nothing here: the parent's counts.
        lists.filter_map(|list| count_cpus(&list)).find(|count| *count > 0)
    }
}

/// `max` and -1 are no quota; nonsense is none either.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota.is_finite() && quota > 0.0 && period >= 1.0).then_some(quota / period)
}

/// The hierarchies by `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn groups(root: &Path) -> Vec<Group> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mut groups = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let fields: Vec<&str> = left.split(' ').collect();
        let (Some(mount_root), Some(mount)) = (fields.get(3), fields.get(4)) else { continue };
        let mut right = right.split(' ');
        let kind = right.next().unwrap_or_default();
        let options = right.nth(1).unwrap_or_default();
        let version = match kind {
            "cgroup2" => Version::V2,
            "cgroup" if options.split(',').any(|o| o == "cpu" || o == "cpuset") => Version::V1,
            _ => continue,
        };
        let has = |controllers: &str| match version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|controller| {
                matches!(controller, "cpu" | "cpuset")
                    && options.split(',').any(|o| o == controller)
            }),
        };
        for path in cgroups.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            has(controllers).then_some(path)
        }) {
            let mount = PathBuf::from(unescape(mount));
            // Without a cgroup namespace the path is the host's and the mount is a part of
            // it; what is not below the mount's root cannot be seen from here.
            let below = Path::new(path).strip_prefix(unescape(mount_root)).unwrap_or(Path::new(""));
            let outside = below.components().any(|c| c == std::path::Component::ParentDir);
            let own = if outside { mount.clone() } else { mount.join(below) };
            groups.push(Group { mount, own, version });
        }
    }
    groups
}

fn read_below(root: &Path, path: &Path) -> Option<String> {
    let path = root.join(path.strip_prefix("/").unwrap_or(path));
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `\040` and the like, as mountinfo writes spaces.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// How many CPUs a list such as `0-3,8` names; `None` if it is not one.
fn count_cpus(list: &str) -> Option<usize> {
    if list.is_empty() {
        return None;
    }
    list.split(',').try_fold(0_usize, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// How many workers to start, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// At least 1.
    pub count: usize,
    /// For the log line: `MOONGATE_WORKERS`, `worker_processes`, `effective CPUs`.
    pub by: &'static str,
}

/// Decides by `MOONGATE_WORKERS`, else `APISIX_WORKER_PROCESSES`, else `configured`
/// (`None` is `auto`), else the CPUs.
///
/// # Errors
///
/// A variable that is not a number of at least 1.
pub fn decide_workers(
    configured: Option<usize>,
    env: &dyn Fn(&str) -> Option<String>,
    cpus: &Cpus,
) -> Result<Workers, String> {
    for by in ["MOONGATE_WORKERS", "APISIX_WORKER_PROCESSES"] {
        let Some(text) = env(by).filter(|text| !text.trim().is_empty()) else { continue };
        // APISIX takes fractions and rounds down.
        let number = text.trim().parse::<f64>().ok().filter(|n| *n >= 1.0 && n.is_finite());
        let Some(number) = number else {
            return Err(format!("{by} must be a number of at least 1, not \"{text}\""));
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1")]
        let count = (number as usize).min(limits::WORKERS_MAX);
        return Ok(Workers { count, by });
    }
    let (count, by) = match configured {
        Some(count) => (count, "worker_processes"),
        None => (cpus.effective, "effective CPUs"),
    };
    Ok(Workers { count: count.clamp(1, limits::WORKERS_MAX), by })
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
