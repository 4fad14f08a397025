//! Tests of [`super`] on made-up machines.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";

/// A machine made of files below a directory of its own.
struct Machine(PathBuf);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("moongate-cpu-{}-{n}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(root)
    }

    /// 8 CPUs, cgroup v2, in the group `/a/b`.
    fn v2(files: &[(&str, &str)]) -> Cpus {
        let base = [
            ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-7\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", V2),
        ];
        Self::new(&[&base[..], files].concat()).read()
    }

    fn read(&self) -> Cpus {
        super::read(&self.0)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn v2_quotas_count_over_the_whole_chain() {
    let own = "sys/fs/cgroup/a/b/cpu.max";
    let parent = "sys/fs/cgroup/a/cpu.max";
    for (files, effective) in [
        (&[][..], 8),
        (&[(own, "max 100000\n")][..], 8),
        (&[(own, "200000 100000\n")], 2),
        (&[(own, "150000 100000\n")], 2),
        (&[(own, "100001 100000\n")], 2),
        (&[(own, "10000 100000\n")], 1),
        (&[(own, "max 100000\n"), (parent, "300000 100000\n")], 3),
        (&[(own, "400000 100000\n"), (parent, "50000 50000\n")], 1),
        (&[(own, "1600000 100000\n")], 8),
        (&[(own, "nonsense\n")], 8),
        (&[(own, "")], 8),
        (&[(own, "100000 0\n")], 8),
        (&[(own, "-5 100000\n")], 8),
        (&[("sys/fs/cgroup/a/b/cpuset.cpus.effective", "0-1,4\n")], 3),
        (&[("sys/fs/cgroup/a/b/cpuset.cpus.effective", "\n")], 8),
        (&[("sys/fs/cgroup/cpu.max", "100000 100000\n")], 1),
    ] {
        assert_eq!(Machine::v2(files).effective, effective, "{files:?}");
    }
}

#[test]
fn v1_quotas_are_found_by_their_controllers() {
    let mounts = "35 23 0:30 /docker/id /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        36 23 0:31 /docker/id /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
        37 23 0:32 /docker/id /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let cgroup = "4:memory:/docker/id\n3:cpuset:/docker/id\n2:cpu,cpuacct:/docker/id/sub\n0::/x\n";
    let base = [
        ("proc/self/status", "Cpus_allowed_list:\t0-15\n"),
        ("proc/self/cgroup", cgroup),
        ("proc/self/mountinfo", mounts),
        ("sys/fs/cgroup/cpu,cpuacct/sub/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/sub/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory/cpu.cfs_quota_us", "1\n"),
    ];
    assert_eq!(Machine::new(&base).read().effective, 16);
    let quota = ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    let period = ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
    let cpus = Machine::new(&[&base[..], &[quota, period]].concat()).read();
    assert_eq!((cpus.effective, cpus.quota), (5, Some(5.0)));
    let set = ("sys/fs/cgroup/cpuset/cpuset.cpus", "0-2\n");
    assert_eq!(Machine::new(&[&base[..], &[set, quota, period]].concat()).read().effective, 3);
}

#[test]
fn a_path_outside_the_mount_is_the_mount() {
    let files = [
        ("proc/self/status", "Cpus_allowed_list:\t0-7\n"),
        ("proc/self/cgroup", "0::/../../elsewhere\n"),
        ("proc/self/mountinfo", "30 23 0:26 / /my\\040cgroup rw - cgroup2 cgroup2 rw\n"),
        ("my cgroup/cpu.max", "200000 100000"),
    ];
    assert_eq!(Machine::new(&files).read().effective, 2);
}

#[test]
fn a_machine_that_says_nothing_has_a_cpu() {
    assert!(Machine::new(&[("proc/x", "")]).read().effective >= 1);
    assert!(read(Path::new("/")).effective >= 1);
}

#[test]
fn the_log_line_names_the_inputs() {
    let cpus = Machine::v2(&[("sys/fs/cgroup/a/cpu.max", "150000 100000")]);
    assert_eq!(
        cpus.to_string(),
        "effective CPUs: 2 (affinity 8, cpuset unknown, quota 1.5 by /sys/fs/cgroup/a/cpu.max)"
    );
}

#[test]
fn variables_win_over_configuration_and_cpus() {
    let cpus = Machine::v2(&[]);
    let decide = |configured, name: &'static str, value: &'static str| {
        let env = move |asked: &str| (asked == name).then(|| value.to_owned());
        decide_workers(configured, &env, &cpus)
    };
    let workers = |count, by| Ok(Workers { count, by });
    assert_eq!(decide(None, "", ""), workers(8, "effective CPUs"));
    assert_eq!(decide(Some(3), "", ""), workers(3, "worker_processes"));
    let apisix = "APISIX_WORKER_PROCESSES";
    assert_eq!(decide(Some(3), apisix, "2.9"), workers(2, apisix));
    assert_eq!(decide(None, "MOONGATE_WORKERS", "5"), workers(5, "MOONGATE_WORKERS"));
    assert_eq!(decide(Some(3), apisix, " "), workers(3, "worker_processes"));
    for bad in ["0", "x", "-1", "inf", "NaN", "0.5"] {
        assert!(decide(None, apisix, bad).is_err(), "{bad}");
    }
    assert_eq!(decide(Some(0), "", ""), workers(1, "worker_processes"));
}

#[test]
fn lists_of_cpus_are_counted() {
    for (list, count) in
        [("0", Some(1)), ("0-3,8", Some(5)), ("3-1", None), ("a", None), ("", None), ("1,", None)]
    {
        assert_eq!(count_cpus(list), count, "{list}");
    }
    assert_eq!(count_cpus("0-18446744073709551615"), None);
}
