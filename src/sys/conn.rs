//! A connection, whatever it runs over, for either side of the gateway.
//!
//! Everything takes `&self`, so one `Rc<Conn>` can be read and written at the same time by
//! two futures of one thread. At most one future may read and one may write at a time: the
//! socket wakes only the last one that asked.
//!
//! An idle connection holds no read buffer: [`Conn::read_buf`] takes one only when there is
//! something to read, and [`give_back`] returns it to the thread.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsStream, rustls::CommonState};

/// What a connection reads at first, in bytes.
const READ_BYTES_MIN: usize = 8 * 1024;

/// What it reads at most in one go, after reads that filled the buffer.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Buffers that a thread keeps for the next connection that has something to read.
const SPARE_BUFFERS_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Returns the memory of a read buffer that will not be needed for a while. A buffer that
/// holds bytes stays as it is.
pub fn give_back(buf: &mut BytesMut) {
    if !buf.is_empty() {
        return;
    }
    let mut buf = std::mem::take(buf);
    // Parts of it may still be in use as somebody's body; then it is theirs.
    if !buf.try_reclaim(READ_BYTES_MIN) || buf.capacity() > READ_BYTES_MIN * 2 {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_BUFFERS_MAX {
            spare.push(buf);
        }
    });
}

/// Keeps no more memory than `buf` needs while more is long in coming; not if it holds much.
pub fn park(buf: &mut BytesMut) {
    if buf.len() <= READ_BYTES_MIN / 4 && buf.capacity() >= READ_BYTES_MIN {
        let parked = BytesMut::from(&buf[..]);
        buf.clear();
        give_back(buf);
        *buf = parked;
    }
}

/// Gives what was parked the room that a read wants.
pub fn unpark(buf: &mut BytesMut) {
    if buf.capacity() < READ_BYTES_MIN
        && let Some(mut spare) = SPARE.with_borrow_mut(Vec::pop)
    {
        spare.extend_from_slice(buf);
        *buf = spare;
    }
}

/// The stream itself, for code that wants to own it: hyper for HTTP/2, for example.
#[derive(Debug)]
pub enum Io {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP, either side of it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    /// Waits until a read would get something; for TLS it may turn out to be only a part
    /// of a record.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::Tls(tls) => {
                let (tcp, session) = tls.get_ref();
                if session.wants_read() { tcp.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
        }
    }

    /// Whether an idle connection is still usable.
    fn is_alive(&mut self) -> bool {
        let mut byte = [0];
        let quiet = |read: io::Result<usize>| {
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        match self {
            // Without an event from the kernel these do not reach the socket at all.
            Self::Tcp(tcp) => quiet(tcp.try_read(&mut byte)),
            Self::Unix(unix) => quiet(unix.try_read(&mut byte)),
            Self::Tls(tls) => {
                let (tcp, session) = tls.get_ref();
                if !session.wants_read() {
                    return false;
                }
                if tcp.try_io(Interest::READABLE, || Ok(())).is_err() {
                    return true;
                }
                // Not every record is data: a session ticket does not make it dirty.
                let mut read = ReadBuf::new(&mut byte);
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(tls).poll_read(&mut cx, &mut read).is_pending()
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, data),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, parts),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing of ours lies between us and the kernel.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Borrowed only within one poll, never across an await.
    io: RefCell<Io>,
    peer: Option<SocketAddr>,
    /// What the next read asks for.
    read_bytes: Cell<usize>,
}

impl Conn {
    /// Wraps a connected stream whose other end is `peer` (`None` for a Unix socket), and
    /// switches Nagle's algorithm off.
    #[must_use]
    pub fn new(io: Io, peer: Option<SocketAddr>) -> Self {
        // It fails only on a socket that is dead already, which the first read will tell.
        let _ = match &io {
            Io::Tcp(tcp) => tcp.set_nodelay(true),
            Io::Tls(tls) => tls.get_ref().0.set_nodelay(true),
            Io::Unix(_) => Ok(()),
        };
        Self { io: RefCell::new(io), peer, read_bytes: Cell::new(READ_BYTES_MIN) }
    }

    /// The other end; `None` for a Unix socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Our end. A system call; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => tcp.local_addr().ok(),
            Io::Tls(tls) => tls.get_ref().0.local_addr().ok(),
            Io::Unix(_) => None,
        }
    }

    /// What TLS agreed on: ALPN, version, cipher, the peer's certificates. `None` without TLS.
    pub fn tls<R>(&self, look: impl FnOnce(&CommonState) -> R) -> Option<R> {
        match &*self.io.borrow() {
            Io::Tls(tls) => Some(look(tls.get_ref().1)),
            Io::Tcp(_) | Io::Unix(_) => None,
        }
    }

    /// The name that a TLS client asked for; `None` on the client's own side.
    #[must_use]
    pub fn tls_server_name(&self) -> Option<String> {
        match &*self.io.borrow() {
            Io::Tls(tls) => match &**tls {
                TlsStream::Server(server) => server.get_ref().1.server_name().map(str::to_owned),
                TlsStream::Client(_) => None,
            },
            Io::Tcp(_) | Io::Unix(_) => None,
        }
    }

    /// Looks at the socket below, for its options.
    pub fn with_socket<R>(&self, look: impl FnOnce(&SockRef<'_>) -> R) -> R {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => look(&SockRef::from(tcp)),
            Io::Unix(unix) => look(&SockRef::from(unix)),
            Io::Tls(tls) => look(&SockRef::from(tls.get_ref().0)),
        }
    }

    /// The stream, for code that wants to own it.
    #[must_use]
    pub fn into_io(self) -> Io {
        self.io.into_inner()
    }

    /// Whether an idle connection may be used again: the peer has neither closed it nor sent
    /// anything unasked. No system call unless the kernel reported an event. Nobody may be
    /// reading meanwhile, and a connection found dead must not be used any more.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.io.borrow_mut().is_alive()
    }

    /// Waits, without a buffer, until there is something to read or the end. May wake
    /// for nothing. Cancel-safe.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// [`Conn::readable`] as a poll.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.borrow().poll_readable(cx)
    }

    /// Appends what there is to `buf` and gives its length; 0 is the end. The buffer grows as
    /// the connection proves to be fast. Cancel-safe.
    ///
    /// # Errors
    /// Those of the socket; for TLS also `UnexpectedEof` for an end without notice, and
    /// `InvalidData`.
    pub async fn read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_buf(cx, buf)).await
    }

    /// [`Conn::read_buf`] as a poll.
    ///
    /// # Errors
    /// See [`Conn::read_buf`].
    pub fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let idle = buf.capacity() == 0;
        if idle {
            ready!(io.poll_readable(cx))?;
            if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
                *buf = spare;
            }
        }
        let want = self.read_bytes.get();
        // Half of it will do: a few bytes left over are no reason to move everything.
        if buf.capacity() - buf.len() < want / 2 {
            buf.reserve(want);
        }
        let room = buf.capacity() - buf.len();
        let Poll::Ready(read) = pin!(io.read_buf(buf)).poll(cx) else {
            // Readiness is a guess on a new socket, and half a record on TLS.
            if idle {
                give_back(buf);
            }
            return Poll::Pending;
        };
        let read = read?;
        if read == room {
            self.read_bytes.set((want * 4).min(READ_BYTES_MAX));
        } else if read < want / 8 {
            self.read_bytes.set((want / 2).max(READ_BYTES_MIN));
        }
        Poll::Ready(Ok(read))
    }

    /// Writes all of `data`. If it is dropped before its end, a part may have been sent: the
    /// connection is of no more use.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, data)).await?;
            data = data.get(sent(written)?..).unwrap_or_default();
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes all of `parts`, in one system call if the socket takes it. Cancel as with
    /// [`Conn::write_all`].
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn write_vectored_all(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty parts in front would look like a socket that takes nothing.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let written = poll_fn(|cx| self.poll_write_vectored(cx, parts)).await?;
            IoSlice::advance_slices(&mut parts, sent(written)?);
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes some of `data` and gives how much. Call [`Conn::poll_flush`] after the last.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_write(cx, data)
    }

    /// Writes some of `parts` and gives how much. Call [`Conn::poll_flush`] after the last.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = parts.iter().filter(|part| !part.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            // `send` costs the kernel less than `writev`.
            return self.poll_write(cx, only);
        }
        Pin::new(&mut *self.io.borrow_mut()).poll_write_vectored(cx, parts)
    }

    /// Hands to the kernel what TLS still holds.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx)
    }

    /// Says that no more will be written, with TLS's own notice first; reading goes on.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)).await
    }

    /// Says goodbye as far as that is possible at once; for a connection about to be dropped
    /// in good order, such as an idle one.
    pub fn goodbye(&self) {
        let mut io = self.io.borrow_mut();
        if matches!(*io, Io::Tls(_)) {
            let _ = Pin::new(&mut *io).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn sent(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, time::Duration};

    use tokio::{
        net::TcpListener,
        time::{sleep, timeout},
    };

    use super::*;

    async fn pair() -> (Conn, Conn) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (server, peer) = server.unwrap();
        (Conn::new(Io::Tcp(client.unwrap()), Some(addr)), Conn::new(Io::Tcp(server), Some(peer)))
    }

    async fn settle() {
        sleep(Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_and_the_end_is_zero() {
        let (a, b) = pair().await;
        assert_eq!(a.peer_addr(), b.local_addr());
        a.write_all(b"one ").await.unwrap();
        let mut parts =
            [IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b""), IoSlice::new(b"three")];
        a.write_vectored_all(&mut parts).await.unwrap();
        a.write_vectored_all(&mut [IoSlice::new(b"")]).await.unwrap();
        a.shutdown().await.unwrap();
        let mut buf = BytesMut::new();
        while b.read_buf(&mut buf).await.unwrap() > 0 {}
        assert_eq!(&buf[..], b"one two three");
    }

    #[tokio::test]
    async fn both_directions_run_at_once_on_one_thread() {
        let (a, b) = pair().await;
        let (a, b) = (Rc::new(a), Rc::new(b));
        let payload = vec![7_u8; 8 << 20];
        let read = async |conn: &Conn| {
            let mut buf = BytesMut::new();
            let mut total = 0;
            while conn.read_buf(&mut buf).await.unwrap() > 0 {
                assert!(buf.iter().all(|&byte| byte == 7));
                total += buf.len();
                buf.clear();
            }
            total
        };
        let write = async |conn: &Conn| {
            // More than the socket buffers take: without reading meanwhile it would hang.
            for chunk in payload.chunks(1 << 20) {
                let (one, two) = chunk.split_at(chunk.len() / 3);
                let mut parts = [IoSlice::new(one), IoSlice::new(two)];
                conn.write_vectored_all(&mut parts).await.unwrap();
            }
            conn.shutdown().await.unwrap();
        };
        let all = async { tokio::join!(read(&a), write(&a), read(&b), write(&b)) };
        let (got_a, (), got_b, ()) = timeout(Duration::from_secs(20), all).await.unwrap();
        assert_eq!((got_a, got_b), (payload.len(), payload.len()));
    }

    #[tokio::test]
    async fn a_waiting_connection_holds_no_buffer_and_reuses_one() {
        let (a, b) = pair().await;
        let mut buf = BytesMut::new();
        assert!(timeout(Duration::from_millis(20), b.read_buf(&mut buf)).await.is_err());
        assert_eq!(buf.capacity(), 0);
        a.write_all(b"x").await.unwrap();
        b.read_buf(&mut buf).await.unwrap();
        assert!(buf.capacity() >= READ_BYTES_MIN);
        give_back(&mut buf);
        assert_eq!(&buf[..], b"x", "unread bytes stay");
        let at = buf.as_ptr();
        buf.clear();
        give_back(&mut buf);
        assert_eq!(buf.capacity(), 0);
        a.write_all(b"y").await.unwrap();
        b.read_buf(&mut buf).await.unwrap();
        assert_eq!((&buf[..], buf.as_ptr()), (&b"y"[..], at));
    }

    #[tokio::test]
    async fn a_buffer_still_in_use_elsewhere_is_not_handed_out_again() {
        SPARE.with_borrow_mut(Vec::clear);
        let mut buf = BytesMut::with_capacity(READ_BYTES_MIN);
        buf.extend_from_slice(b"body");
        let body = buf.split().freeze();
        give_back(&mut buf);
        assert_eq!(SPARE.with_borrow(Vec::len), 0);
        assert_eq!(&body[..], b"body");
        give_back(&mut BytesMut::with_capacity(READ_BYTES_MAX));
        assert_eq!(SPARE.with_borrow(Vec::len), 0);
    }

    #[test]
    fn a_parked_buffer_holds_little_and_gets_its_room_back() {
        let mut buf = BytesMut::with_capacity(READ_BYTES_MIN);
        buf.extend_from_slice(b"GET / HT");
        let at = buf.as_ptr();
        park(&mut buf);
        assert!(buf.capacity() < 64);
        unpark(&mut buf);
        assert_eq!((&buf[..], buf.as_ptr()), (&b"GET / HT"[..], at));
        buf.extend_from_slice(&[b'x'; READ_BYTES_MIN / 4]);
        park(&mut buf);
        assert_eq!(buf.as_ptr(), at, "much is not moved");
    }

    #[tokio::test]
    async fn reads_grow_with_the_load_and_shrink_after_it() {
        let (a, b) = pair().await;
        let send = async {
            a.write_all(&vec![1; 1 << 20]).await.unwrap();
            a
        };
        let receive = async {
            let mut buf = BytesMut::new();
            let (mut total, mut largest) = (0, 0);
            while total < 1 << 20 {
                let read = b.read_buf(&mut buf).await.unwrap();
                (total, largest) = (total + read, largest.max(read));
                buf.clear();
                // Leaves the sender time to fill the socket.
                sleep(Duration::from_millis(1)).await;
            }
            largest
        };
        let (a, largest) = tokio::join!(send, receive);
        assert!(largest >= READ_BYTES_MAX / 2, "{largest}");
        assert_eq!(b.read_bytes.get(), READ_BYTES_MAX);
        let mut buf = BytesMut::new();
        for _ in 0..4 {
            a.write_all(b"small").await.unwrap();
            b.read_buf(&mut buf).await.unwrap();
            buf.clear();
        }
        assert_eq!(b.read_bytes.get(), READ_BYTES_MIN);
    }

    #[tokio::test]
    async fn an_idle_connection_is_alive_until_the_peer_closes_or_speaks() {
        let (a, b) = pair().await;
        a.write_all(b"answer").await.unwrap();
        let mut buf = BytesMut::new();
        b.read_buf(&mut buf).await.unwrap();
        settle().await;
        assert!(b.is_alive() && b.is_alive());
        drop(a);
        settle().await;
        assert!(!b.is_alive());

        let (a, b) = pair().await;
        settle().await;
        assert!(b.is_alive());
        a.write_all(b"unasked").await.unwrap();
        settle().await;
        assert!(!b.is_alive());
    }

    #[tokio::test]
    async fn unix_sockets_do_the_same() {
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = (Conn::new(Io::Unix(a), None), Conn::new(Io::Unix(b), None));
        assert!(a.is_alive() && a.peer_addr().is_none() && a.tls(|_| ()).is_none());
        a.write_all(b"hello").await.unwrap();
        let mut buf = BytesMut::new();
        assert_eq!(b.read_buf(&mut buf).await.unwrap(), 5);
        drop(b);
        settle().await;
        assert!(!a.is_alive());
        assert!(a.write_all(&[0; 100]).await.is_err());
    }
}
