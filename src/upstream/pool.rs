//! Idle connections to nodes, one pool per worker.
//!
//! The newest connection is used first: it is the least likely to have been closed by the
//! node, and the others may grow old and go. One timer per pool, armed while anything is
//! idle, looks after age and after connections that the node closed.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    net::SocketAddr,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep_until};

use crate::{clock, sys::conn::Conn};

/// Ages are looked at together if they end within this time.
const TOGETHER: Duration = Duration::from_millis(100);

/// At least this often connections closed by nodes are let go.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Which connections are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The node.
    pub addr: SocketAddr,
    /// [`TlsClient::id`](super::tls::TlsClient::id) and the name asked for; `None` without TLS.
    pub tls: Option<(u64, Rc<str>)>,
}

impl From<SocketAddr> for Key {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, tls: None }
    }
}

/// How connections of one upstream are kept: its `keepalive_pool`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeepAlive {
    /// Idle connections per key and worker; 0 keeps none.
    pub size: usize,
    /// How long one may be idle.
    pub idle_timeout: Duration,
    /// How many requests one may carry.
    pub requests: u32,
}

impl Default for KeepAlive {
    /// APISIX's defaults for `nginx_config.http.upstream`.
    fn default() -> Self {
        Self { size: 320, idle_timeout: Duration::from_secs(60), requests: 1000 }
    }
}

/// A connection together with how much it has been used.
#[derive(Debug, Clone)]
pub struct Link {
    /// The connection.
    pub conn: Rc<Conn>,
    /// Requests that it carried before this one: above 0 it came from the pool.
    pub served: u32,
}

impl From<Conn> for Link {
    fn from(conn: Conn) -> Self {
        Self { conn: Rc::new(conn), served: 0 }
    }
}

#[derive(Debug)]
struct Idle {
    link: Link,
    until: Instant,
}

/// A worker's idle connections. Cloning gives another handle to the same pool. It must live
/// in a `LocalSet`, where its timer runs.
#[derive(Debug, Clone)]
pub struct Pool(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Per key, the newest at the back.
    idle: RefCell<HashMap<Key, VecDeque<Idle>, BuildHasherDefault<QuickHasher>>>,
    len: Cell<usize>,
    len_max: usize,
    open: Cell<bool>,
    /// When the timer looks next; `None` if it does not run.
    armed: Cell<Option<Instant>>,
    /// Wakes the timer for an earlier look, or its end.
    sooner: Rc<Notify>,
}

impl Pool {
    /// An empty pool that keeps at most `len_max` connections over all keys.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self(Rc::new(Inner {
            idle: RefCell::default(),
            len: Cell::new(0),
            len_max,
            open: Cell::new(true),
            armed: Cell::new(None),
            sooner: Rc::default(),
        }))
    }

    /// The newest living connection for `key`.
    #[must_use]
    pub fn take(&self, key: &Key, now: Instant) -> Option<Link> {
        let mut idle = self.0.idle.borrow_mut();
        let queue = idle.get_mut(key)?;
        while let Some(newest) = queue.pop_back() {
            self.0.len.update(|len| len - 1);
            if newest.until > now && newest.link.conn.is_alive() {
                return Some(newest.link);
            }
            newest.link.conn.goodbye();
        }
        None
    }

    /// Keeps a connection whose answer was read to its end, or closes it if it has carried
    /// enough requests or there is no room. The oldest one makes room for it.
    pub fn put(&self, key: &Key, mut link: Link, keep: &KeepAlive, now: Instant) {
        let inner = &*self.0;
        link.served += 1;
        if !inner.open.get() || keep.size.min(inner.len_max) == 0 || link.served >= keep.requests {
            link.conn.goodbye();
            return;
        }
        let until = now + keep.idle_timeout;
        let mut idle = inner.idle.borrow_mut();
        let full_of_this = idle.get(key).is_some_and(|queue| queue.len() >= keep.size);
        if full_of_this {
            inner.close_oldest(idle.get_mut(key));
        } else if inner.len.get() >= inner.len_max {
            let oldest = idle.values_mut().filter(|queue| !queue.is_empty());
            let oldest = oldest.min_by_key(|queue| queue.front().map(|front| front.until));
            inner.close_oldest(oldest);
        }
        let entry = Idle { link, until };
        match idle.get_mut(key) {
            Some(queue) => queue.push_back(entry),
            None => drop(idle.insert(key.clone(), VecDeque::from([entry]))),
        }
        drop(idle);
        inner.len.update(|len| len + 1);
        self.arm(until);
    }

    /// Number of idle connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len.get()
    }

    /// Whether nothing is idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes every idle connection.
    pub fn close_idle(&self) {
        for idle in self.0.idle.take().into_values().flatten() {
            idle.link.conn.goodbye();
        }
        self.0.len.set(0);
    }

    /// Closes every idle connection and keeps none from now on: the process is ending.
    pub fn drain(&self) {
        self.0.open.set(false);
        self.close_idle();
    }

    fn arm(&self, until: Instant) {
        match self.0.armed.get() {
            Some(at) if at <= until + TOGETHER => {}
            Some(_) => {
                self.0.armed.set(Some(until + TOGETHER));
                self.0.sooner.notify_one();
            }
            None => {
                self.0.armed.set(Some((until + TOGETHER).min(clock::now() + LOOK_EVERY)));
                let (weak, sooner) = (Rc::downgrade(&self.0), Rc::clone(&self.0.sooner));
                tokio::task::spawn_local(look_after(weak, sooner));
            }
        }
    }
}

/// The pool's timer. It owns nothing, so that it never keeps a pool alive.
async fn look_after(pool: Weak<Inner>, sooner: Rc<Notify>) {
    while let Some(at) = pool.upgrade().and_then(|pool| pool.armed.get()) {
        tokio::select! {
            () = sleep_until(at.into()) => {}
            () = sooner.notified() => continue,
        }
        let Some(pool) = pool.upgrade() else { return };
        let now = clock::now();
        let next = pool.close_old(now);
        pool.armed.set(next.map(|next| (next + TOGETHER).min(now + LOOK_EVERY)));
    }
}

impl Inner {
    fn close_oldest(&self, queue: Option<&mut VecDeque<Idle>>) {
        if let Some(oldest) = queue.and_then(VecDeque::pop_front) {
            self.len.update(|len| len - 1);
            oldest.link.conn.goodbye();
        }
    }

    /// Closes what is too old or dead, and gives when the next one will be too old.
    fn close_old(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut kept = 0;
        self.idle.borrow_mut().retain(|_, queue| {
            queue.retain(|idle| {
                let keep = idle.until > now && idle.link.conn.is_alive();
                if keep {
                    next = Some(next.map_or(idle.until, |next| next.min(idle.until)));
                } else {
                    idle.link.conn.goodbye();
                }
                keep
            });
            kept += queue.len();
            !queue.is_empty()
        });
        self.len.set(kept);
        next
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

/// A few multiplications instead of SipHash: keys come from the configuration, and a
/// pool holds few.
#[derive(Debug, Default)]
struct QuickHasher(u64);

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        // The table takes its bits from both ends.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| self.mix(byte.into()));
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use bytes::BytesMut;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        task::LocalSet,
        time::sleep,
    };

    use super::*;
    use crate::sys::conn::Io;

    fn local(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    async fn link() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
        (Conn::new(Io::Tcp(ours.unwrap()), Some(addr)).into(), theirs.unwrap().0)
    }

    fn key(port: u16) -> Key {
        SocketAddr::from(([10, 0, 0, 1], port)).into()
    }

    fn keep(size: usize) -> KeepAlive {
        KeepAlive { size, ..KeepAlive::default() }
    }

    fn take(pool: &Pool, key: &Key) -> Option<Link> {
        pool.take(key, clock::now())
    }

    fn put(pool: &Pool, key: &Key, link: &Link, keep: &KeepAlive) {
        pool.put(key, link.clone(), keep, clock::now());
    }

    fn is(link: Option<Link>, other: &Link) -> bool {
        link.is_some_and(|link| Rc::ptr_eq(&link.conn, &other.conn))
    }

    #[test]
    fn the_newest_connection_of_the_same_key_comes_first() {
        local(async {
            let pool = Pool::new(100);
            let (one, _keep1) = link().await;
            let (two, _keep2) = link().await;
            put(&pool, &key(1), &one, &keep(10));
            put(&pool, &key(1), &two, &keep(10));
            assert!(take(&pool, &key(2)).is_none());
            assert_eq!(pool.len(), 2);
            assert!(is(take(&pool, &key(1)), &two));
            let last = take(&pool, &key(1)).unwrap();
            assert_eq!(last.served, 1);
            assert!(is(Some(last), &one));
            assert!(take(&pool, &key(1)).is_none() && pool.is_empty());
        });
    }

    #[test]
    fn tls_clients_and_names_are_kept_apart() {
        local(async {
            let pool = Pool::new(100);
            let tls = |id, name: &str| Key { tls: Some((id, Rc::from(name))), ..key(1) };
            let (one, _peer) = link().await;
            put(&pool, &tls(1, "a"), &one, &keep(10));
            for other in [key(1), tls(1, "b"), tls(2, "a")] {
                assert!(take(&pool, &other).is_none());
            }
            assert!(is(take(&pool, &tls(1, "a")), &one));
        });
    }

    #[test]
    fn the_oldest_makes_room_within_a_key_and_over_all() {
        local(async {
            let pool = Pool::new(3);
            let mut links = Vec::new();
            for _ in 0..6 {
                links.push(link().await);
            }
            for (link, _) in links.iter().take(3) {
                put(&pool, &key(1), link, &keep(2));
            }
            assert_eq!(pool.len(), 2);
            put(&pool, &key(2), &links[3].0, &keep(2));
            put(&pool, &key(3), &links[4].0, &keep(2));
            assert_eq!(pool.len(), 3);
            // Of key 1 the first went for its own bound, the second for the pool's.
            assert!(is(take(&pool, &key(1)), &links[2].0));
            assert!(take(&pool, &key(1)).is_none());
            put(&pool, &key(4), &links[5].0, &keep(0));
            assert!(take(&pool, &key(4)).is_none());
        });
    }

    #[test]
    fn a_connection_carries_so_many_requests() {
        local(async {
            let pool = Pool::new(100);
            let limits = KeepAlive { requests: 3, ..keep(10) };
            let (mut current, _peer) = link().await;
            for served in 1..3 {
                pool.put(&key(1), current, &limits, clock::now());
                current = take(&pool, &key(1)).unwrap();
                assert_eq!(current.served, served);
            }
            pool.put(&key(1), current, &limits, clock::now());
            assert!(pool.is_empty());
        });
    }

    #[test]
    fn closed_and_speaking_connections_are_not_given_out() {
        local(async {
            let pool = Pool::new(100);
            let (good, mut good_peer) = link().await;
            let (closed, closed_peer) = link().await;
            let (dirty, mut dirty_peer) = link().await;
            for link in [&good, &closed, &dirty] {
                put(&pool, &key(1), link, &keep(10));
            }
            drop(closed_peer);
            dirty_peer.write_all(b"HTTP/1.1 408 too late\r\n").await.unwrap();
            sleep(Duration::from_millis(20)).await;
            let taken = take(&pool, &key(1)).unwrap();
            assert!(is(Some(taken.clone()), &good));
            good_peer.write_all(b"fine").await.unwrap();
            assert_eq!(taken.conn.read_buf(&mut BytesMut::new()).await.unwrap(), 4);
            assert!(pool.is_empty());
        });
    }

    #[test]
    fn age_is_seen_on_take_and_by_the_timer() {
        local(async {
            let pool = Pool::new(100);
            let (old, _peer1) = link().await;
            let (young, _peer2) = link().await;
            let short = KeepAlive { idle_timeout: Duration::from_millis(30), ..keep(10) };
            put(&pool, &key(1), &young, &keep(10));
            put(&pool, &key(1), &old, &short);
            sleep(Duration::from_millis(40)).await;
            assert!(is(take(&pool, &key(1)), &young));
            // The timer was armed for a minute, and must look sooner now.
            put(&pool, &key(1), &young, &keep(10));
            put(&pool, &key(2), &old, &short);
            drop(old);
            assert_eq!(pool.len(), 2);
            sleep(Duration::from_millis(300)).await;
            assert_eq!(pool.len(), 1);
            let _ = take(&pool, &key(1));
            sleep(Duration::from_millis(20)).await;
        });
    }

    #[test]
    fn the_timer_ends_with_the_last_connection_and_starts_again() {
        local(async {
            let pool = Pool::new(100);
            let short = KeepAlive { idle_timeout: Duration::from_millis(10), ..keep(10) };
            for _ in 0..2 {
                let (one, mut peer) = link().await;
                put(&pool, &key(1), &one, &short);
                drop(one);
                assert!(pool.0.armed.get().is_some());
                sleep(Duration::from_millis(250)).await;
                assert!(pool.is_empty() && pool.0.armed.get().is_none());
                // Really closed, not only forgotten.
                sleep(Duration::from_millis(10)).await;
                peer.write_all(b"x").await.unwrap();
                sleep(Duration::from_millis(10)).await;
                assert!(peer.write_all(b"x").await.is_err());
            }
        });
    }

    #[test]
    fn a_drained_pool_keeps_nothing_and_a_dropped_one_leaves_no_timer() {
        local(async {
            let pool = Pool::new(100);
            let (one, _peer1) = link().await;
            let (two, _peer2) = link().await;
            put(&pool, &key(1), &one, &keep(10));
            pool.close_idle();
            assert!(pool.is_empty());
            put(&pool, &key(1), &one, &keep(10));
            assert_eq!(pool.len(), 1);
            pool.drain();
            put(&pool, &key(1), &two, &keep(10));
            assert!(pool.is_empty() && take(&pool, &key(1)).is_none());
            let (weak, sooner) = (Rc::downgrade(&pool.0), Rc::clone(&pool.0.sooner));
            drop(pool);
            assert!(weak.upgrade().is_none());
            sleep(Duration::from_millis(20)).await;
            assert_eq!(Rc::strong_count(&sooner), 1, "the timer's task is gone");
        });
    }
}
