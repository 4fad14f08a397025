//! Signals, turned into events.

use std::{sync::mpsc, thread};

use tokio::signal::unix::{SignalKind, signal};

use super::Event;
use crate::sys::platform;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGQUIT: finish what runs.
    Graceful,
    /// SIGINT: end at once.
    Fast,
    /// SIGHUP: read everything again.
    Hangup,
    /// SIGUSR1: reopen the logs.
    Reopen,
    /// SIGUSR2: let another process have the store.
    Release,
}

/// Passes signals on to `events` for as long as the process lives.
///
/// # Errors
///
/// When a handler cannot be installed.
pub(super) fn forward(events: mpsc::Sender<Event>) -> Result<(), String> {
    let (ready, started) = mpsc::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(listen(&events, &ready)),
            Err(error) => drop(ready.send(Err(error.to_string()))),
        }
    };
    thread::Builder::new().name("signals".into()).spawn(run).map_err(|error| error.to_string())?;
    started.recv().map_err(|error| error.to_string())?
}

async fn listen(events: &mpsc::Sender<Event>, ready: &mpsc::Sender<Result<(), String>>) {
    let install = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
    let all = [
        SignalKind::terminate(),
        SignalKind::quit(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::child(),
    ];
    let all: Result<Vec<_>, String> = all.into_iter().map(install).collect();
    let mut all = match all {
        Ok(all) => all,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let [term, quit, int, hup, usr1, usr2, child] = &mut all[..] else { return };
    // The starter waits for this.
    let _ = ready.send(Ok(()));
    let first = std::process::id() == 1;
    loop {
        let signal = tokio::select! {
            _ = term.recv() => Signal::Graceful,
            _ = quit.recv() => Signal::Graceful,
            _ = int.recv() => Signal::Fast,
            _ = hup.recv() => Signal::Hangup,
            _ = usr1.recv() => Signal::Reopen,
            _ = usr2.recv() => Signal::Release,
            _ = child.recv() => {
                // As process 1 we inherit every orphan of the container.
                if first {
                    platform::reap_children();
                }
                continue;
            }
        };
        if events.send(Event::Signal(signal)).is_err() {
            return;
        }
    }
}
