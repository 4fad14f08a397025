//! A new router for very many routes, built beside the control thread while changes go on.
//!
//! Each change is laid over the router that serves, and over the new one when it is there: in
//! their order, since a route that went and came again stands behind the others.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use super::{Control, Event, start};
use crate::{
    config::{Snapshot, raw::Kind},
    live::Live,
    log::error_log::Level,
    log_at,
    route::Mode,
};

/// One change: the objects since, and which of them differ.
type Step = (Arc<Snapshot>, Vec<(Kind, String)>);

/// Builds routers, one at a time.
pub(super) struct Rebuild {
    events: mpsc::Sender<Event>,
    /// The objects that one is being built for, and what changed since.
    running: Option<(Arc<Snapshot>, Vec<Step>)>,
}

impl Rebuild {
    /// Tells `events` what it has built.
    pub(super) fn new(events: &mpsc::Sender<Event>) -> Self {
        Self { events: events.clone(), running: None }
    }

    /// Remembers a change.
    pub(super) fn note(&mut self, snapshot: Arc<Snapshot>, touched: Vec<(Kind, String)>) {
        if let Some((_, steps)) = &mut self.running {
            steps.push((snapshot, touched));
        }
    }

    /// Nobody needs what is being built.
    pub(super) fn forget(&mut self) {
        self.running = None;
    }

    /// Begins if it is time.
    pub(super) fn begin(&mut self, live: &Arc<Live>, mode: Mode) {
        if self.running.is_some() || !live.is_heavy() {
            return;
        }
        let (from, events, live) =
            (Arc::clone(&live.snapshot), self.events.clone(), Arc::clone(live));
        let build = move || {
            let built = Live::build(Arc::clone(&live.snapshot), mode, Some(&live));
            drop(live);
            // A process that ends needs none.
            let _ = events.send(Event::Rebuilt(Box::new(built)));
        };
        match thread::Builder::new().name("router".to_owned()).spawn(build) {
            Ok(_) => self.running = Some((from, Vec::new())),
            // `Live::after` builds one when it must.
            Err(error) => log_at!(Level::Warn, "no thread to build a router: {error}"),
        }
    }

    /// What has changed since `built` began; `None` if it is not what was asked for.
    fn end(&mut self, built: &Live) -> Option<Vec<Step>> {
        let asked = |(from, _): &mut (Arc<Snapshot>, _)| Arc::ptr_eq(from, &built.snapshot);
        self.running.take_if(asked).map(|(_, steps)| steps)
    }
}

impl Control {
    /// A new router is there: it serves, with all that changed meanwhile.
    pub(super) fn rebuilt(&mut self, built: Live) {
        let Some(steps) = self.rebuild.end(&built) else { return };
        let mode = start::mode(&self.local);
        let lay =
            |live: Live, (snapshot, touched): Step| Live::after(&live, snapshot, &touched, mode);
        let mut live = steps.into_iter().fold(built, lay);
        // Of its own: what is retired is freed when nobody else has its objects.
        self.snapshot = Arc::new(Snapshot::clone(&self.snapshot));
        live.snapshot = Arc::clone(&self.snapshot);
        self.vm.see(Arc::clone(&self.snapshot));
        self.swap(live);
    }
}
