//! The store in etcd v3, with APISIX's own keys and values: both can share one etcd.
//!
//! etcd's gRPC is spoken directly (`grpc`, `proto`): the crate `etcd-client` needs a compiler
//! of protocol buffers to be built. One thread does everything: it follows etcd with one watch
//! (`follow`), keeps the last good content on disk (`saver`, `snapshot`) and answers what
//! others ask of the [`Store`].
//!
//! What is told to the [`Sink`]: [`Batch::All`] at the start, [`Batch::Changes`] after it. If etcd
//! does not answer at the start, the snapshot of the disk as [`Batch::All`] and then
//! [`Batch::Lost`]. Whenever what was told may not be etcd's past any more (compacted, wiped,
//! restored, another cluster), [`Batch::All`] again. But an etcd that is proven to be another and
//! has nothing at all below the prefix has rather lost its disk than that somebody deleted
//! everything: what was told stays, [`Batch::Lost`] says why, and writes are refused, until any key
//! is there. `etcdctl put /apisix/routes/ init_dir`, as APISIX does it, is one.
//!
//! [`Batch::All`]: super::Batch::All
//! [`Batch::Changes`]: super::Batch::Changes
//! [`Batch::Lost`]: super::Batch::Lost

mod ask;
mod client;
pub mod dump;
mod fail;
mod follow;
mod grpc;
mod held;
mod jitter;
mod keys;
mod options;
mod proto;
mod saver;
mod snapshot;
mod write;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::{Notify, Semaphore, mpsc, oneshot},
    task,
};

use self::{
    client::{Client, Link},
    fail::{Fail, UNAVAILABLE},
    follow::Follower,
    keys::Keys,
    saver::Shared,
    snapshot::SnapshotFile,
    write::Unwritten,
};
pub use self::{
    options::{Endpoint, Options, TlsFiles},
    saver::Saved,
};
use super::{Answer, Entry, Listing, Room, Sink, Store, StoreError, Write, Written};

/// Questions that wait to be taken; more wait with who asks.
const WAITING_MAX: usize = 256;

/// Questions that are asked of etcd at the same time.
const ASKING_MAX: usize = 64;

/// Steps of one transaction: below etcd's `--max-txn-ops`, 128 unless told otherwise.
const OPS_MAX: usize = 100;

/// Bytes of one transaction: below etcd's `--max-request-bytes`, 1.5 MiB unless told otherwise.
const BYTES_MAX: usize = 1 << 20;

/// How long the end waits for a snapshot that is being written.
const END_MAX: Duration = Duration::from_secs(5);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What others want of the thread.
enum Ask {
    Get(String, Reply<Option<Entry>>),
    List(String, Reply<Listing>),
    Write(Write, Reply<Written>),
    NewId(Reply<u64>),
}

/// A store in etcd. Dropping it ends its thread and its connections.
pub struct Etcd {
    asks: mpsc::Sender<Ask>,
    closing: Arc<Notify>,
    thread: Option<thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    client: Arc<Client>,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Etcd").field(&self.client.options).finish()
    }
}

impl Etcd {
    /// Begins to follow etcd, and returns without waiting for it. With `snapshot`, the last good
    /// content is kept in that file, whose folder must exist.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn connect(options: Options, snapshot: Option<PathBuf>, sink: Sink) -> io::Result<Self> {
        let keys = Keys::new(&options.prefix);
        let file = snapshot.map(|path| SnapshotFile {
            path,
            prefix: options.prefix.clone(),
            endpoints: options.urls().into_iter().map(str::to_owned).collect(),
        });
        let client = Arc::new(Client::new(options));
        let shared = Arc::new(Shared::default());
        let closing = Arc::new(Notify::new());
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let served =
            Served { client: Arc::clone(&client), keys: keys.clone(), shared: Arc::clone(&shared) };
        let follower = Follower {
            client: Arc::clone(&client),
            keys,
            shared: Arc::clone(&shared),
            sink,
            file: file.clone(),
            lost: None,
        };
        let end = Arc::clone(&closing);
        let saving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("etcd".to_owned()).spawn(move || {
            // For the tasks that answer questions.
            let local = task::LocalSet::new();
            local.block_on(&runtime, async {
                if let Some(file) = &file {
                    task::spawn(saver::run(Arc::clone(&saving), file.clone()));
                }
                tokio::select! {
                    () = end.notified() => {}
                    () = follower.run() => {}
                    () = serve(served, asked) => {}
                }
            });
            drop(local);
            runtime.shutdown_timeout(END_MAX);
            if let Some(file) = &file {
                saver::finish(&saving, file);
            }
        })?;
        Ok(Self { asks, closing, thread: Some(thread), shared, client })
    }

    /// How it stands with the snapshot on disk.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.shared.saved()
    }

    /// How often a name and password were sent to etcd.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.client.logins.load(Ordering::Relaxed)
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.closing.notify_one();
        if let Some(thread) = self.thread.take()
            // A sink may be the last to hold the store.
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Store for Etcd {
    fn room(&self) -> Room {
        Room { ops: OPS_MAX, bytes: BYTES_MAX }
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(self.ask(|reply| Ask::Get(key.to_owned(), reply)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(self.ask(|reply| Ask::List(prefix.to_owned(), reply)))
    }

    fn write(&self, write: Write) -> Answer<'_, Written> {
        Box::pin(self.ask(|reply| Ask::Write(write, reply)))
    }

    fn new_id(&self) -> Answer<'_, u64> {
        Box::pin(self.ask(Ask::NewId))
    }
}

/// Who answers questions.
#[derive(Clone)]
struct Served {
    client: Arc<Client>,
    keys: Keys,
    shared: Arc<Shared>,
}

/// What a write is told while etcd is empty that was not.
const EMPTIED: &str = "etcd lost what serves, and nothing is written to it until it is restored or \
                       any key is put below its prefix";

async fn serve(served: Served, mut asked: mpsc::Receiver<Ask>) {
    let room = Arc::new(Semaphore::new(ASKING_MAX));
    while let Some(ask) = asked.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let served = served.clone();
        task::spawn_local(async move {
            served.answer(ask).await;
            drop(permit);
        });
    }
    // Nobody is left who could ask; etcd is followed until the end nevertheless.
    std::future::pending().await
}

impl Served {
    /// Answers. That nobody waits for it any more is no matter.
    async fn answer(&self, ask: Ask) {
        let (client, keys) = (&*self.client, &self.keys);
        match ask {
            Ask::Get(key, reply) => {
                let done = self.tried(async |link| ask::get(client, link, keys, &key).await);
                let _ = reply.send(done.await);
            }
            Ask::List(prefix, reply) => {
                let done = self.tried(async |link| ask::all(client, link, keys, &prefix).await);
                let _ = reply.send(done.await.map(|held| held.listing()));
            }
            Ask::NewId(reply) if self.shared.is_emptied() => {
                let _ = reply.send(Err(StoreError::Unavailable(EMPTIED.to_owned())));
            }
            Ask::NewId(reply) => {
                let done = self.tried(async |link| ask::new_id(client, link, keys).await);
                let _ = reply.send(done.await);
            }
            Ask::Write(write, reply) => {
                let _ = reply.send(self.write(&write).await);
            }
        }
    }

    /// Does what may be done twice: with another connection if the first is of no use.
    async fn tried<T>(
        &self,
        work: impl AsyncFn(&Link) -> Result<T, Fail>,
    ) -> Result<T, StoreError> {
        let mut left = self.client.options.endpoints.len();
        loop {
            let link = self.client.link().await.map_err(|fail| unavailable(&fail))?;
            let fail = match work(&link).await {
                Ok(done) => return Ok(done),
                Err(fail) => fail,
            };
            if !fail.is_of_endpoint() {
                return Err(unavailable(&fail));
            }
            self.client.forget(&link).await;
            if left == 0 {
                return Err(unavailable(&fail));
            }
            left -= 1;
        }
    }

    /// Writes. It is tried again only while nothing of it can have reached etcd.
    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        if self.shared.is_emptied() {
            return Err(StoreError::Unavailable(EMPTIED.to_owned()));
        }
        let mut left = self.client.options.endpoints.len();
        loop {
            let link = self.client.link().await.map_err(|fail| unavailable(&fail))?;
            let fail = match write::write(&self.client, &link, &self.keys, write).await {
                Ok(written) => return Ok(written),
                Err(Unwritten::Store(error)) => return Err(error),
                Err(Unwritten::Call(fail)) => fail,
            };
            if fail.is_too_large() {
                return Err(StoreError::TooLarge(format!("etcd refuses the write: {fail}")));
            }
            if fail.is_of_endpoint() {
                self.client.forget(&link).await;
            }
            match fail {
                Fail::NotSent(_) if left > 0 => left -= 1,
                Fail::Broken(_) | Fail::Nonsense(_) | Fail::TooLong(_) => {
                    let why = format!("etcd: {fail}; whether it was written is not known");
                    return Err(StoreError::Unavailable(why));
                }
                Fail::Refused { code: UNAVAILABLE, text } => {
                    let why = format!("etcd: {text}; whether it was written is not known");
                    return Err(StoreError::Unavailable(why));
                }
                Fail::NotSent(_) | Fail::Refused { .. } | Fail::Emptied(_) => {
                    return Err(unavailable(&fail));
                }
            }
        }
    }
}

fn unavailable(fail: &Fail) -> StoreError {
    StoreError::Unavailable(format!("etcd: {fail}"))
}
