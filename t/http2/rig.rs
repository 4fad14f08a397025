//! A gateway in a directory of its own, and an upstream that behaves as its paths say.

use std::{
    fs,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::sleep,
};

use super::wire;

/// A body of whatever kind.
pub(super) type AnyBody = BoxBody<Bytes, std::convert::Infallible>;

/// The next of the ports that these tests may use, four at a time.
static PORT: AtomicU16 = AtomicU16::new(12_004);

/// A running gateway.
pub(super) struct Gateway {
    pub(super) port: u16,
    pub(super) upstream: Upstream,
    child: Child,
    prefix: PathBuf,
}

impl Gateway {
    /// Starts one; `http` goes into `nginx_config.http`.
    pub(super) async fn start(http: &str) -> Self {
        let port = free_ports();
        let upstream = Upstream::start().await;
        let prefix =
            std::env::temp_dir().join(format!("moongate-http2-{}-{port}", std::process::id()));
        fs::create_dir_all(prefix.join("conf")).unwrap();
        fs::create_dir_all(prefix.join("logs")).unwrap();
        fs::write(prefix.join("conf/config.yaml"), config(port, http)).unwrap();
        fs::write(prefix.join("conf/apisix.yaml"), objects(upstream.port)).unwrap();
        let output = fs::File::create(prefix.join("logs/output")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_moongate"))
            .arg("-p")
            .arg(&prefix)
            .arg("start")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut gateway = Self { port, upstream, child, prefix };
        gateway.wait_until_it_serves().await;
        gateway
    }

    async fn wait_until_it_serves(&mut self) {
        let began = Instant::now();
        let log = self.prefix.join("logs/error.log");
        while !fs::read_to_string(&log).unwrap_or_default().contains("is ready") {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > Duration::from_secs(20) {
                let output = fs::read_to_string(self.prefix.join("logs/output"));
                panic!("the gateway does not start: {ended:?}\n{}", output.unwrap());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// An absolute URI on this gateway.
    pub(super) fn uri(&self, path: &str) -> Uri {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    /// A header block for a raw request.
    pub(super) fn head(&self, method: &str, path: &str) -> Vec<u8> {
        let authority = format!("127.0.0.1:{}", self.port);
        [(":method", method), (":scheme", "http"), (":authority", &authority), (":path", path)]
            .into_iter()
            .flat_map(|(name, value)| wire::field(name, value))
            .collect()
    }

    /// A client of HTTP/2.
    pub(super) async fn client(&self) -> http2::SendRequest<AnyBody> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (client, conn) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(conn);
        client
    }

    /// A client of HTTP/1.1.
    pub(super) async fn client_of_http_1(&self) -> http1::SendRequest<AnyBody> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (client, conn) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(conn);
        client
    }

    /// The access log's line with `needle`, once it is there.
    pub(super) async fn logged(&self, needle: &str) -> String {
        let path = self.prefix.join("logs/access.log");
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(needle)) {
                return line.to_owned();
            }
            if began.elapsed() > Duration::from_secs(10) {
                let errors = fs::read_to_string(self.prefix.join("logs/error.log"));
                let output = fs::read_to_string(self.prefix.join("logs/output"));
                panic!("no {needle:?} in {log}\n{errors:?}\n{output:?}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Memory in use, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends a signal to it.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is lost if the directory stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.prefix);
    }
}

/// The first of four ports in a row that nobody uses.
fn free_ports() -> u16 {
    loop {
        let port = PORT.fetch_add(4, Ordering::Relaxed);
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (port..port + 4).all(free) {
            return port;
        }
    }
}

fn config(port: u16, http: &str) -> String {
    let (status, control, metrics) = (port + 1, port + 2, port + 3);
    format!(
        "apisix:\n  node_listen: [{port}]\n  enable_ipv6: false\n  status: {{ip: 127.0.0.1, port: {status}}}\n  \
         control: {{ip: 127.0.0.1, port: {control}}}\n\
         plugin_attr:\n  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {metrics}}}}}\n\
         nginx_config:\n  worker_processes: 1\n  error_log_level: info\n  http:\n    send_timeout: 2s\n    \
         client_max_body_size: 4m\n    {http}\n\
         deployment:\n  role: data_plane\n  role_data_plane: {{config_provider: yaml}}\n"
    )
}

fn objects(upstream: u16) -> String {
    let mut text = String::from("routes:\n");
    for (id, uri, port) in
        [("echo", "/echo*", upstream), ("grpc", "/grpc.Service/*", upstream), ("dead", "/dead", 1)]
    {
        text += &route(id, uri, port);
    }
    for name in ["mirror", "none", "zero", "never", "drip", "broken", "switch", "slow"] {
        text += &route(name, &format!("/{name}"), upstream);
    }
    text +=
        "  - id: mock\n    uri: /mock\n    plugins: {mocking: {response_example: from a plugin}}\n";
    text + "#END\n"
}

fn route(id: &str, uri: &str, port: u16) -> String {
    format!(
        "  - id: {id}\n    uri: {uri}\n    upstream: {{type: roundrobin, nodes: [{{host: 127.0.0.1, port: {port}, weight: 1}}]}}\n"
    )
}

/// No body.
pub(super) fn empty() -> AnyBody {
    Empty::new().boxed()
}

/// A GET.
pub(super) fn get(gateway: &Gateway, path: &str) -> Request<AnyBody> {
    Request::get(gateway.uri(path)).body(empty()).unwrap()
}

/// The whole body as text.
pub(super) async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Frames of a body that is made on the way.
pub(super) struct Frames(pub(super) mpsc::Receiver<Frame<Bytes>>);

impl Frames {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        self.0.poll_recv(cx)
    }
}

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.get_mut().poll(cx).map(|frame| frame.map(Ok))
    }
}

/// A server of HTTP/1 that behaves as the path says.
pub(super) struct Upstream {
    port: u16,
    seen: watch::Receiver<Vec<String>>,
    cut: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (saw, seen) = watch::channel(Vec::new());
        let (cutter, cut) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (saw, cutter) = (saw.clone(), cutter.clone());
                tokio::spawn(async move {
                    Server { stream, saw, cutter, trailers: String::new() }.run().await
                });
            }
        });
        Self { port, seen, cut: cut.into() }
    }

    /// Waits for a request with this path.
    pub(super) async fn seen(&self, path: &str) {
        let mut seen = self.seen.clone();
        let wait = seen.wait_for(|all| all.iter().any(|known| known == path));
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap().unwrap();
    }

    /// The path of a request whose connection the gateway closed before its answer ended.
    pub(super) async fn cut(&self) -> String {
        let mut cut = self.cut.lock().await;
        tokio::time::timeout(Duration::from_secs(10), cut.recv()).await.unwrap().unwrap()
    }
}

struct Server {
    stream: TcpStream,
    saw: watch::Sender<Vec<String>>,
    cutter: mpsc::UnboundedSender<String>,
    /// What followed the last body in chunks.
    trailers: String,
}

impl Server {
    async fn run(mut self) {
        let mut buf = Vec::new();
        while let Some(head) = self.head(&mut buf).await {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            self.saw.send_modify(|all| all.push(path.clone()));
            let body = self.body(&head, &mut buf).await;
            if !self.answer(&path, &head, &body).await {
                return;
            }
        }
    }

    /// Reads up to the empty line.
    async fn head(&mut self, buf: &mut Vec<u8>) -> Option<String> {
        loop {
            if let Some(at) = buf.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = buf.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.stream.read_buf(buf).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Reads a body by Content-Length, or in chunks.
    async fn body(&mut self, head: &str, buf: &mut Vec<u8>) -> Vec<u8> {
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        if lower.contains("transfer-encoding: chunked") {
            let mut all = Vec::new();
            loop {
                let size = self.line(buf).await;
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                if size == 0 {
                    self.trailers.clear();
                    while let line = self.line(buf).await
                        && line != "\r\n"
                    {
                        self.trailers.push_str(line.trim_end());
                    }
                    return all;
                }
                self.fill(buf, size + 2).await;
                all.extend(buf.drain(..size));
                buf.drain(..2);
            }
        }
        let length = length.map_or(0, |text| text.trim().parse().unwrap());
        self.fill(buf, length).await;
        buf.drain(..length).collect()
    }

    async fn line(&mut self, buf: &mut Vec<u8>) -> String {
        loop {
            if let Some(at) = buf.iter().position(|byte| *byte == b'\n') {
                return String::from_utf8(buf.drain(..=at).collect()).unwrap();
            }
            self.fill(buf, buf.len() + 1).await;
        }
    }

    async fn fill(&mut self, buf: &mut Vec<u8>, len: usize) {
        while buf.len() < len {
            assert_ne!(self.stream.read_buf(buf).await.unwrap(), 0, "the body ended early");
        }
    }

    /// Whether the connection goes on.
    async fn answer(&mut self, path: &str, head: &str, body: &[u8]) -> bool {
        let whole = |body: &[u8]| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let bytes = match path {
            "/mirror" => whole(body),
            "/none" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            "/zero" => whole(b""),
            "/never" => return self.wait_for_the_cut(path).await,
            "/drip" => {
                let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndrip";
                self.stream.write_all(start).await.unwrap();
                return self.wait_for_the_cut(path).await;
            }
            "/broken" => {
                let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
                self.stream.write_all(start).await.unwrap();
                return false;
            }
            "/switch" => {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
                    .to_vec()
            }
            "/slow" => {
                sleep(Duration::from_millis(700)).await;
                whole(b"slow but sure")
            }
            path if path.starts_with("/grpc") => {
                let chunk = format!("{:x}\r\n{}\r\n", body.len(), String::from_utf8_lossy(body));
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n\
                     {chunk}0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\nx-seen: {}\r\n\r\n",
                    self.trailers
                )
                .into_bytes()
            }
            "/echo/huge" => whole(&vec![b'x'; 8 << 20]),
            _ if head.starts_with("HEAD") => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()
            }
            _ => whole(head.as_bytes()),
        };
        self.stream.write_all(&bytes).await.is_ok()
    }

    async fn wait_for_the_cut(&mut self, path: &str) -> bool {
        let mut rest = Vec::new();
        while self.stream.read_buf(&mut rest).await.unwrap_or(0) > 0 {}
        // The test may have ended.
        let _ = self.cutter.send(path.to_owned());
        false
    }
}
