//! Bodies: streams of frames, whatever protocol they come by.

use std::{
    future::poll_fn,
    path::Path,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};

use crate::{
    codec::sign::{Digest, Hashing, Sums},
    error::{Error, Kind, Result},
    fields::Fields,
    sys::scratch::{self, Scratch},
};

/// One piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Bytes, never empty.
    Data(Bytes),
    /// Trailer fields; nothing follows.
    Trailers(Fields),
}

/// Where a streamed body comes from: a connection of ours, or hyper's.
pub trait Source {
    /// The next frame; `None` after the last. Cancel-safe: a frame is never lost.
    ///
    /// # Errors
    ///
    /// When the peer breaks off, times out, or breaks the framing.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>>;

    /// Called when the consumer lost interest before the end: the source gives up its connection.
    fn abandon(&mut self) {}
}

/// A body on its way.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Everything at once.
    Full(Bytes),
    /// Frame by frame.
    Stream(Box<dyn Source>),
}

impl Body {
    /// The next frame; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`Source::poll_frame`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Self::Stream(source) => source.poll_frame(cx),
        }
    }

    /// The next frame; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`Source::poll_frame`].
    pub async fn frame(&mut self) -> Option<Result<Frame>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Whether nothing is left to read, as far as is known without reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A body that lies in a file.
struct FileBody(scratch::Reader);

impl Source for FileBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        Poll::Ready(match ready!(self.0.poll_piece(cx)) {
            Ok(piece) => piece.map(|piece| Ok(Frame::Data(piece))),
            Err(error) => Some(Err(Error::from(Kind::BodyFile).because(error))),
        })
    }
}

impl From<&Scratch> for Body {
    fn from(file: &Scratch) -> Self {
        Self::Stream(Box::new(FileBody(file.reader())))
    }
}

/// A body of which a part is lost: whoever wants the rest gets the reason.
struct Lost(Kind);

impl Source for Lost {
    fn poll_frame(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        Poll::Ready(Some(Err(self.0.clone().into())))
    }
}

/// The first bytes of a body, and what follows them.
struct Begun {
    first: Bytes,
    rest: Body,
}

impl Source for Begun {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        if self.first.is_empty() {
            return self.rest.poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::Data(std::mem::take(&mut self.first)))))
    }

    fn abandon(&mut self) {
        if let Body::Stream(source) = &mut self.rest {
            source.abandon();
        }
    }
}

/// Digests that are made of a body while it is read.
#[derive(Debug, Clone)]
pub struct Check {
    /// Makes them.
    pub hashing: Hashing,
    /// What they must be, and the status for a body that has others. `None`: somebody else looks.
    pub expected: Option<(Vec<Digest>, u16)>,
}

impl Check {
    /// The end of the body was seen.
    ///
    /// # Errors
    ///
    /// [`Kind::BodyTampered`].
    pub fn finish(self) -> Result<Sums> {
        let sums = self.hashing.finish();
        match self.expected {
            Some((expected, status)) if !sums.hold(&expected) => {
                Err(Kind::BodyTampered { status }.into())
            }
            _ => Ok(sums),
        }
    }
}

/// A body of which more bytes were announced is not looked at before somebody waits for it.
const SMALL_BYTES_MAX: u64 = 16 << 10;

/// How much of a body may be read, and where to.
#[derive(Debug, Clone)]
pub struct Room {
    /// Bytes of a body; 0 is any number.
    pub bytes_max: u64,
    /// Bytes of it in memory; what is larger goes to a file.
    pub memory_bytes_max: usize,
    /// Where the file is made.
    pub dir: Rc<Path>,
}

/// The body of a request: not read, read into memory or a file, or gone upstream.
#[derive(Debug, Default)]
pub struct RequestBody {
    /// What is still to come from the client.
    pub incoming: Body,
    /// What was read, or set by a plugin. Sent upstream instead of `incoming`.
    pub held: Option<Bytes>,
    /// The same, if it was too large for memory.
    pub file: Option<Rc<Scratch>>,
    /// Bytes the client announced, if it did.
    pub length: Option<u64>,
    /// Whether the client sends a body at all.
    pub present: bool,
    /// Bytes of body received so far.
    pub received: u64,
    /// Bytes that the configuration lets a body have; 0 is any number.
    pub bytes_max: u64,
    /// Whether a plugin wants it read before the upstream is asked.
    pub buffered: Option<bool>,
    /// Digests to make of what is still to come. Whoever reads it makes them.
    pub check: Option<Box<Check>>,
    /// Whether it turned out not to be the one that was signed.
    pub tampered: bool,
    /// Digests of the body that the client sent, once they were made.
    pub sums: Option<Box<Sums>>,
}

impl RequestBody {
    /// Reads the whole body, once; it is in `held` or in `file` then.
    ///
    /// # Errors
    ///
    /// [`Kind::BodyTooLarge`], [`Kind::BodyFile`], or what the client connection says. The body
    /// is lost then: reading or sending it gives the same error.
    pub async fn hold(&mut self, room: &Room) -> Result<()> {
        if self.held.is_some() || self.file.is_some() {
            return Ok(());
        }
        if let Body::Full(bytes) = &mut self.incoming
            && self.check.is_none()
        {
            self.held = Some(std::mem::take(bytes));
            return Ok(());
        }
        let mut read = self.read(room).await;
        if let (Ok(()), Some(check)) = (&read, self.check.take()) {
            read = check.finish().map(|sums| self.sums = Some(Box::new(sums)));
        }
        if read.is_err() {
            self.held = None;
            self.file = None;
        }
        self.incoming = match &read {
            Ok(()) => Body::Empty,
            Err(error) => Body::Stream(Box::new(Lost(error.kind().clone()))),
        };
        read
    }

    /// The next piece of what is still to come, for who reads the body piece by piece; `None`
    /// behind the last. What is left over goes upstream without a length. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`RequestBody::hold`].
    pub async fn piece(&mut self, bytes_max: u64) -> Result<Option<Bytes>> {
        self.length = None;
        let read = self.next_piece(bytes_max).await;
        if let Err(error) = &read {
            self.incoming = Body::Stream(Box::new(Lost(error.kind().clone())));
        }
        read
    }

    async fn next_piece(&mut self, bytes_max: u64) -> Result<Option<Bytes>> {
        while let Some(frame) = self.incoming.frame().await {
            let Frame::Data(data) = frame? else { continue };
            self.received += data.len() as u64;
            if let Some(check) = &mut self.check {
                check.hashing.update(&data);
            }
            if bytes_max > 0 && self.received > bytes_max {
                return Err(Kind::BodyTooLarge { bytes_max }.into());
            }
            return Ok(Some(data));
        }
        if let Some(check) = self.check.take() {
            self.sums = Some(Box::new(check.finish()?));
        }
        Ok(None)
    }

    /// Reads the whole body if it is a small one that is there already, without waiting: whether
    /// it did. [`RequestBody::hold`] does what is left, and tells of errors.
    pub fn hold_small(&mut self) -> bool {
        let small = self.length.is_some_and(|length| length <= SMALL_BYTES_MAX);
        let judged = self.check.as_ref().is_some_and(|check| check.expected.is_some());
        if !small || judged || self.held.is_some() || !matches!(self.incoming, Body::Stream(_)) {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut piece = Bytes::new();
        let failed = loop {
            match self.incoming.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) if piece.is_empty() => piece = data,
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    piece = [piece, data].concat().into();
                }
                Poll::Ready(Some(Ok(Frame::Trailers(_)))) => {}
                Poll::Ready(Some(Err(error))) => {
                    break Some(Body::Stream(Box::new(Lost(error.kind().clone()))));
                }
                Poll::Ready(None) => break None,
                // Whoever waits for the rest asks again, to be woken.
                Poll::Pending => break Some(std::mem::take(&mut self.incoming)),
            }
        };
        if let Some(rest) = failed {
            self.incoming = Body::Stream(Box::new(Begun { first: piece, rest }));
            return false;
        }
        self.incoming = Body::Empty;
        self.received = piece.len() as u64;
        if let Some(mut check) = self.check.take() {
            check.hashing.update(&piece);
            self.sums = Some(Box::new(check.hashing.finish()));
        }
        self.held = Some(piece);
        true
    }

    async fn read(&mut self, room: &Room) -> Result<()> {
        let mut file: Option<Scratch> = None;
        let mut piece = BytesMut::new();
        let mut bytes = 0;
        let bytes_max = if room.bytes_max > 0 { room.bytes_max } else { u64::MAX };
        if self.length.is_some_and(|length| length > bytes_max) {
            return Err(Kind::BodyTooLarge { bytes_max }.into());
        }
        if self.length.is_some_and(|length| length > room.memory_bytes_max as u64) {
            file = Some(create(room).await?);
        }
        while let Some(frame) = self.incoming.frame().await {
            let Frame::Data(data) = frame? else { continue };
            bytes += data.len() as u64;
            self.received = bytes;
            if let Some(check) = &mut self.check {
                check.hashing.update(&data);
            }
            if bytes > bytes_max {
                return Err(Kind::BodyTooLarge { bytes_max }.into());
            }
            piece.extend_from_slice(&data);
            match &mut file {
                None if bytes > room.memory_bytes_max as u64 => file = Some(create(room).await?),
                Some(file) if piece.len() >= scratch::PIECE_BYTES => {
                    append(file, piece.split().freeze()).await?;
                }
                _ => {}
            }
        }
        match file {
            None => self.held = Some(piece.freeze()),
            Some(mut file) => {
                append(&mut file, piece.freeze()).await?;
                self.file = Some(Rc::new(file));
            }
        }
        Ok(())
    }

    /// Replaces the body; what the client still sends is read and dropped later.
    pub fn replace(&mut self, body: Bytes) {
        self.length = Some(body.len() as u64);
        self.present = true;
        self.held = Some(body);
        self.file = None;
        self.check = None;
    }

    /// Replaces the body by what lies in a file.
    pub fn replace_by_file(&mut self, file: Scratch) {
        self.length = Some(file.len());
        self.present = true;
        self.held = None;
        self.file = Some(Rc::new(file));
        self.check = None;
    }
}

async fn create(room: &Room) -> Result<Scratch> {
    let made = Scratch::create(&room.dir).await;
    made.map_err(|error| {
        Error::from(Kind::BodyFile).because(format!("{}: {error}", room.dir.display()))
    })
}

async fn append(file: &mut Scratch, data: Bytes) -> Result<()> {
    file.append(data).await.map_err(|error| Error::from(Kind::BodyFile).because(error))
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, fs, path::PathBuf};

    use super::*;

    struct Pieces(VecDeque<usize>);

    impl Source for Pieces {
        fn poll_frame(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| match bytes {
                0 => Ok(Frame::Trailers(Fields::new())),
                bytes => Ok(Frame::Data(vec![b'x'; bytes].into())),
            }))
        }
    }

    fn body(length: Option<u64>, pieces: &[usize]) -> RequestBody {
        RequestBody {
            incoming: Body::Stream(Box::new(Pieces(pieces.iter().copied().collect()))),
            length,
            present: true,
            ..RequestBody::default()
        }
    }

    fn room(name: &str, bytes_max: u64) -> (Room, PathBuf) {
        let dir = std::env::temp_dir().join(format!("moongate-body-{name}-{}", std::process::id()));
        (Room { bytes_max, memory_bytes_max: 1000, dir: Rc::from(dir.as_path()) }, dir)
    }

    async fn rest(body: &mut Body) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Frame::Data(data) = frame? {
                all.extend_from_slice(&data);
            }
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_small_body_stays_in_memory() {
        let (room, dir) = room("small", 0);
        for length in [None, Some(1000)] {
            let mut body = body(length, &[400, 600, 0]);
            body.hold(&room).await.unwrap();
            assert_eq!(body.held.as_ref().map(Bytes::len), Some(1000));
            assert!(body.file.is_none() && body.incoming.is_empty() && !dir.exists());
            body.hold(&room).await.unwrap();
            assert_eq!(body.held.map(|held| held.len()), Some(1000), "the second time");
        }
    }

    #[tokio::test]
    async fn a_large_body_goes_to_a_file_that_can_be_read_again_and_again() {
        let (room, dir) = room("large", 0);
        for (length, pieces) in [(None, vec![1000, 1, 300_000, 0]), (Some(301_001), vec![301_001])]
        {
            let mut body = body(length, &pieces);
            body.hold(&room).await.unwrap();
            assert!(body.held.is_none());
            let file = body.file.clone().unwrap();
            assert_eq!((file.len(), body.received), (301_001, 301_001));
            for _ in 0..2 {
                assert_eq!(rest(&mut Body::from(&*file)).await.unwrap(), vec![b'x'; 301_001]);
            }
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
            body.replace(Bytes::from_static(b"new"));
            assert!(body.file.is_none());
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn what_does_not_fit_is_an_error_then_and_later() {
        let (room, dir) = room("bounded", 1500);
        let mut body = body(None, &[800, 400, 800]);
        let error = body.hold(&room).await.unwrap_err();
        assert_eq!(*error.kind(), Kind::BodyTooLarge { bytes_max: 1500 });
        assert_eq!(*body.hold(&room).await.unwrap_err().kind(), *error.kind());
        let error = rest(&mut body.incoming).await.unwrap_err();
        assert_eq!(*error.kind(), Kind::BodyTooLarge { bytes_max: 1500 }, "a part is never sent");
        fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_body_is_checked_while_it_is_read_and_is_lost_if_it_is_another() {
        let (room, dir) = room("checked", 0);
        let expected = vec![Digest::Sha256(crate::codec::sign::digest::sha256(&[b'x'; 1200]))];
        for (bytes, status) in [(200, None), (201, Some(401))] {
            for memory_bytes_max in [10, 10_000] {
                let mut body = body(None, &[1000, bytes, 0]);
                body.check = Some(Box::new(Check {
                    hashing: Hashing::of(&expected),
                    expected: Some((expected.clone(), 401)),
                }));
                let held = body.hold(&Room { memory_bytes_max, ..room.clone() }).await;
                let refused = held.err().map(|error| error.kind().clone());
                assert_eq!(refused, status.map(|status| Kind::BodyTampered { status }));
                assert_eq!(body.sums.is_some(), status.is_none());
                assert_eq!(body.hold(&room).await.is_err(), status.is_some(), "and stays so");
                if status.is_some() {
                    assert!(body.held.is_none() && body.file.is_none());
                    assert!(rest(&mut body.incoming).await.is_err());
                }
            }
        }
        fs::remove_dir_all(dir).unwrap();
    }

    /// Has its pieces only when somebody may be woken.
    struct Late(Pieces, usize);

    impl Source for Late {
        fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
            if self.1 == 0 {
                self.1 = 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.1 -= 1;
            self.0.poll_frame(cx)
        }
    }

    #[tokio::test]
    async fn a_small_body_that_is_there_is_held_without_waiting() {
        let mut there = body(Some(9), &[4, 5]);
        let check = Check { hashing: Hashing::new(true, false), expected: None };
        there.check = Some(Box::new(check));
        assert!(there.hold_small());
        assert_eq!(there.held.as_deref(), Some(&b"xxxxxxxxx"[..]));
        assert_eq!(there.received, 9);
        let sum = crate::codec::sign::digest::sha256(b"xxxxxxxxx");
        assert_eq!(there.sums.unwrap().sha256, Some(sum));
        assert!(there.incoming.is_empty());
        assert!(!body(None, &[4, 5]).hold_small(), "nobody knows how long it is");
        assert!(!body(Some(SMALL_BYTES_MAX + 1), &[4, 5]).hold_small());
    }

    #[tokio::test]
    async fn of_a_body_that_comes_later_nothing_is_lost() {
        for ready in 0..4 {
            let mut late = body(Some(12), &[]);
            let pieces = Pieces([3, 4, 5].into());
            late.incoming = Body::Stream(Box::new(Late(pieces, ready)));
            late.check =
                Some(Box::new(Check { hashing: Hashing::new(true, false), expected: None }));
            assert!(!late.hold_small());
            let (room, dir) = room(&format!("late-{ready}"), 100);
            late.hold(&room).await.unwrap();
            assert_eq!(late.held.as_deref(), Some(&b"xxxxxxxxxxxx"[..]));
            assert_eq!(late.received, 12);
            let sum = crate::codec::sign::digest::sha256(b"xxxxxxxxxxxx");
            assert_eq!(late.sums.unwrap().sha256, Some(sum));
            let _ = fs::remove_dir_all(dir);
        }
    }

    #[tokio::test]
    async fn without_a_place_for_the_file_the_error_names_it() {
        let (room, dir) = room("nowhere", 0);
        fs::write(&dir, "in the way").unwrap();
        let error = body(Some(5000), &[5000]).hold(&room).await.unwrap_err();
        assert_eq!(*error.kind(), Kind::BodyFile);
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap();
        assert!(cause.contains(&*dir.to_string_lossy()), "{cause}");
        fs::remove_file(dir).unwrap();
    }
}
