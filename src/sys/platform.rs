//! Questions to the operating system that safe Rust has no words for.
#![allow(unsafe_code)] // One system call per function; each block carries its SAFETY sentence.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::{Mutex, PoisonError},
};

/// Seconds that local time is ahead of UTC at this moment; 0 if the C library cannot tell.
#[must_use]
pub fn local_offset_s(now_s: i64) -> i32 {
    let mut local = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right type; `tm` is plain data.
    let filled = unsafe { libc::localtime_r(&now_s, local.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: `localtime_r` has filled it, as its answer says; zeroed was valid as well.
    let local = unsafe { local.assume_init() };
    i32::try_from(local.tm_gmtoff).unwrap_or(0)
}

/// Bytes an unprivileged process may still write to the file system of `path`.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` ends in a zero byte and both pointers live through the call.
    let answer = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    // SAFETY: filled on success; the zeroed value before it was valid too.
    let stat = unsafe { stat.assume_init() };
    (answer == 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Raises the bound of open files to `files`, as far as the system allows; returns what holds.
#[must_use]
pub fn raise_open_files(files: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let wanted = libc::rlimit { rlim_cur: files, rlim_max: files.max(limit.rlim_max) };
    // SAFETY: as above. Only root may raise the hard bound.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        return files;
    }
    limit.rlim_cur = files.min(limit.rlim_max);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    limit.rlim_cur
}

/// Gives the calling thread less of a busy processor than others get, and in short turns:
/// since Linux 6.12 somebody who wakes up meanwhile waits for the end of a turn. Older ones
/// ignore its length.
pub fn lower_priority() {
    const NICE: i32 = 5;
    const TURN_NS: u64 = 100_000;
    // SAFETY: no memory is involved; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    // SAFETY: an all-zero value is a valid one.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_nice = NICE;
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the kernel reads `attributes` of the size they tell; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// `mi_option_purge_delay` of `mimalloc.h`: its Rust binding leaves it out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets the allocator give freed memory back at once until what this returns is dropped: a start
/// frees much that would else stay with the process for good.
#[must_use]
pub fn give_memory_back() -> impl Drop {
    struct Before(std::ffi::c_long);
    impl Drop for Before {
        fn drop(&mut self) {
            // SAFETY: any number may be set, and this one was.
            unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, self.0) };
        }
    }
    // SAFETY: the option exists in all versions of the allocator that we may be built with.
    let before = Before(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) });
    // SAFETY: 0 is a value that its documentation names.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    before
}

/// Gives the system what the allocator keeps of memory that was freed. It takes a moment, and what
/// is needed again must be fetched again.
pub fn trim_memory() {
    // SAFETY: no preconditions.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Whether the process may take memory in huge pages from here on, where the system has them.
/// With them (the default on many hosts) each thread, VM and kind of block holds up to 2 MiB that
/// it does not use: a fresh gateway was almost twice as large, and no faster. What is large by
/// itself and read all over is found sooner in them.
///
/// # Errors
///
/// What the system says; kernels before 3.15 cannot.
pub fn allow_huge_pages(allowed: bool) -> std::io::Result<()> {
    // SAFETY: the call takes four numbers and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!allowed), 0, 0, 0) } == 0
    {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

/// Children that plugins started, with how they ended once [`reap_children`] has seen it.
static OWN: Mutex<BTreeMap<u32, Option<i32>>> = Mutex::new(BTreeMap::new());

/// Collects children that ended; only process 1 gets any it did not start.
pub fn reap_children() {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a local; WNOHANG never waits.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        let Ok(pid @ 1..) = u32::try_from(pid) else { break };
        if let Some(known) = own.get_mut(&pid) {
            *known = Some(status);
        }
    }
}

/// Starts a child whose end [`try_wait`] tells, also where [`reap_children`] collects it.
///
/// # Errors
///
/// What the system says, such as that there is no such program.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    own.insert(child.id(), None);
    Ok(child)
}

/// How a child of [`spawn`] ended; `None` while it runs.
pub fn try_wait(child: &mut Child) -> Option<ExitStatus> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let status = match own.get(&child.id()) {
        Some(Some(status)) => ExitStatus::from_raw(*status),
        // Nobody else collects it: an error means that it is no child any more.
        _ => child.try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(0)))?,
    };
    own.remove(&child.id());
    Some(status)
}

/// Kills a child of [`spawn`] that nobody asks for any more, and collects it in its own time.
pub fn discard(mut child: Child) {
    if try_wait(&mut child).is_some() {
        return;
    }
    // It may have ended meanwhile.
    drop(child.kill());
    let waiting = std::thread::Builder::new().name("child".to_owned());
    let pid = child.id();
    let started = waiting.spawn(move || {
        drop(child.wait());
        OWN.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    });
    // Without a thread it stays a zombie, which is all there is left to do.
    drop(started);
}

/// What asks a gateway to let another process have its store.
pub const RELEASE: i32 = libc::SIGUSR2;

/// Sends `signal` to process `pid`.
///
/// # Errors
///
/// What the system says, such as no such process.
pub fn signal(pid: i32, signal: i32) -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_left_and_taken_again() {
        // The setting is the process's, no matter which thread asks.
        let enabled = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let found = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
            found.map(str::trim).map(str::to_owned)
        };
        for allowed in [false, true] {
            allow_huge_pages(allowed).unwrap();
            assert_eq!(enabled().as_deref(), Some(if allowed { "1" } else { "0" }));
        }
    }

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: the option exists.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // What the allocator documents as its default, in milliseconds.
        assert_eq!(delay(), 1000);
        let starting = give_memory_back();
        assert_eq!(delay(), 0);
        drop(starting);
        assert_eq!(delay(), 1000);
    }
}
