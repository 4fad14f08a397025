//! The Admin API: its keys, its port, and in standalone mode what it puts in force.

use std::{
    fs::DirBuilder,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc},
    thread,
    time::Instant,
};

use serde_json::Value;
use tokio::sync::oneshot;

use super::{Checker, Control, Event, judge::Asker, start};
use crate::{
    accept::listener,
    admin::{
        Admin, Note, Settings,
        judge::Later,
        keyfile, listener as port,
        standalone::{Held, Standalone},
    },
    config::{
        Local,
        check::{self, Recheck},
        provider::Provider,
        raw::RawDocument,
    },
    log::error_log::Level,
    log_at,
};

/// Where the gateway keeps what must survive it.
pub(super) fn data_dir(prefix: &Path) -> PathBuf {
    prefix.join("data")
}

/// Makes the directory for nobody else, if it is not there.
///
/// # Errors
///
/// What the system says.
pub(super) fn make_data_dir(prefix: &Path) -> Result<PathBuf, String> {
    let path = data_dir(prefix);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    Ok(path)
}

/// Where the Admin API listens, if it does. With objects in a file it has little to do, and
/// begins only where somebody asks for it.
fn address(local: &Local) -> Option<SocketAddr> {
    let wanted = !matches!(local.provider, Some(Provider::File(_))) || local.named.admin;
    // A snippet makes a server of its own of this port.
    let taken = local.snippets.as_ref().is_some_and(|snippets| snippets.admin.is_some());
    if local.enable_admin && wanted && taken {
        log_at!(
            Level::Error,
            "there is no Admin API: its port is that of http_admin_configuration_snippet"
        );
    }
    (local.enable_admin && wanted && !taken).then(|| SocketAddr::from(local.admin))
}

/// Looks whether the port can be had, before anything is served.
///
/// # Errors
///
/// When it is taken.
pub(super) fn probe(local: &Local, takeover: bool) -> Result<(), String> {
    let Some(addr) = address(local) else { return Ok(()) };
    listener::probe(addr, takeover).map_err(|error| start::taken(addr, &error))
}

/// Reads what config.yaml says of the Admin API.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn settings(local: &Local) -> Result<Settings, String> {
    Settings::read(&local.raw)
}

/// Opens the Admin API, if there is to be one.
///
/// # Errors
///
/// When the port is taken or the settings are wrong.
pub(super) fn serve(control: &Control, events: &mpsc::Sender<Event>) -> Result<(), String> {
    let Some(addr) = address(&control.local) else { return Ok(()) };
    let mut settings = settings(&control.local)?;
    if settings.is_keyless() {
        give_key(&mut settings, &control.prefix);
    }
    let judge = Arc::new(Asker::new(events, &control.facts));
    let store = control.storage.for_writers();
    let mut admin = Admin::new(store, judge, settings, Box::new(tell));
    if matches!(control.local.provider, Some(Provider::File(_))) {
        let events = Mutex::new(events.clone());
        admin = admin.standalone(Arc::new(Whole { events, held: RwLock::default() }));
    }
    let socket = listener::listen(addr).map_err(|error| start::taken(addr, &error))?;
    let admin = Arc::new(admin);
    port::spawn(Arc::clone(&admin), vec![socket]).map_err(|error| error.to_string())?;
    refresh(admin);
    log_at!(Level::Notice, "the Admin API listens on {addr}");
    Ok(())
}

/// Brings the stored list of plugins up to date, where other gateways read one.
fn refresh(admin: Arc<Admin>) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(admin.refresh_plugins()).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = result {
            log_at!(Level::Warn, "admin: the stored list of plugins stays as it is: {why}");
        }
    };
    // Without a thread the list stays as it is.
    let _ = thread::Builder::new().name("admin-refresh".into()).spawn(run);
}

/// A key for an installation that has none: made once, and shown once.
fn give_key(settings: &mut Settings, prefix: &Path) {
    match make_data_dir(prefix).and_then(|data| keyfile::obtain(&data)) {
        Ok(obtained) => {
            settings.set_key(&obtained.key);
            let path = obtained.path.display();
            if obtained.fresh {
                tell_key(&format!("the key of the Admin API, also in {path}: {}", obtained.key));
            }
            log_at!(Level::Notice, "no admin_key is configured: the one in {path} is used");
        }
        Err(why) => log_at!(
            Level::Error,
            "no admin_key is configured and none can be kept, the Admin API changes nothing: {why}"
        ),
    }
}

/// On the terminal or in the container's output, and in no log.
fn tell_key(line: &str) {
    use std::io::Write as _;
    // Whoever does not see it finds it in the file.
    let _ = writeln!(std::io::stderr(), "moongate: {line}");
}

fn tell(note: Note<'_>) {
    match note {
        Note::Changed { who, address, what, key, revision } => {
            log_at!(Level::Notice, "admin: {who} at {address}: {what} {key}, revision {revision}")
        }
        Note::Refused { address, why } => log_at!(Level::Warn, "admin: {address} refused: {why}"),
        Note::Warning(text) => log_at!(Level::Warn, "admin: {text}"),
    }
}

/// Whole configurations by the Admin API, instead of the file.
struct Whole {
    events: Mutex<mpsc::Sender<Event>>,
    held: RwLock<Option<Arc<Held>>>,
}

impl Standalone for Whole {
    fn get(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, held: Held) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            let event = Event::Whole(Value::Object(held.config.clone()), answer);
            let sent = self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
            sent.map_err(|_| "shutting down".to_owned())?;
            outcome.await.map_err(|_| "shutting down".to_owned())??;
            *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(held));
            Ok(())
        })
    }
}

impl Control {
    /// Serves by a whole configuration that was checked object by object before.
    pub(super) fn take_whole(&mut self, root: Value) -> Result<(), String> {
        let started = Instant::now();
        let document = RawDocument::split(root, &|_| None).map_err(|(_, why)| why)?;
        let mut checker = Checker { vm: &self.vm, local: &self.local };
        let applied = check::apply(&self.snapshot, document, &mut checker, Recheck::Changed);
        if !super::conf::same(&self.snapshot, &applied.snapshot) {
            self.publish(applied, started);
        }
        Ok(())
    }
}
