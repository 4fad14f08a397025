//! Real etcd servers on loopback ports, and a proxy before them that misbehaves when told to.

use base64::Engine as _;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A folder that goes with its owner.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("moongate-etcd-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago. Nobody gets the same twice: tests run beside each other.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut given = GIVEN.lock().unwrap();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// One member; it ends with its owner.
pub(crate) struct Server {
    pub(crate) port: u16,
    peer: u16,
    name: String,
    data: PathBuf,
    scheme: &'static str,
    extra: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            port: free_port(),
            peer: free_port(),
            name: name.to_owned(),
            data: folder.join(name),
            scheme: "http",
            extra: Vec::new(),
            child: None,
        }
    }

    /// Alone in its cluster.
    pub(crate) fn alone(folder: &Path) -> Self {
        let mut server = Self::new(folder, "one");
        server.start();
        server
    }

    /// As many as asked for, together.
    pub(crate) fn cluster(folder: &Path, count: usize) -> Vec<Self> {
        let mut servers: Vec<Self> =
            (0..count).map(|at| Self::new(folder, &format!("m{at}"))).collect();
        let all: Vec<String> = servers.iter().map(Self::peer_of_itself).collect();
        for server in &mut servers {
            server.extra = vec!["--initial-cluster".to_owned(), all.join(",")];
            server.spawn();
        }
        for server in &servers {
            server.wait();
        }
        servers
    }

    /// With TLS, and with certificates of clients.
    pub(crate) fn with_tls(folder: &Path, certs: &Path) -> Self {
        let mut server = Self::new(folder, "tls");
        server.scheme = "https";
        let file = |name: &str| certs.join(name).display().to_string();
        server.extra = vec![
            "--cert-file".to_owned(),
            file("server.pem"),
            "--key-file".to_owned(),
            file("server.key"),
            "--client-cert-auth".to_owned(),
            "--trusted-ca-file".to_owned(),
            file("ca.pem"),
        ];
        server.spawn();
        server
    }

    /// From its next start on, if it was wiped.
    pub(crate) fn be_another(&mut self) {
        self.extra = vec!["--initial-cluster-token".to_owned(), "another".to_owned()];
    }

    fn peer_of_itself(&self) -> String {
        format!("{}=http://127.0.0.1:{}", self.name, self.peer)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait();
    }

    fn spawn(&mut self) {
        let (url, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command
            .args(["--name", &self.name, "--data-dir"])
            .arg(&self.data)
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--heartbeat-interval", "100", "--election-timeout", "1000"])
            .args(["--auth-token-ttl", "300", "--log-level", "error"])
            .args(if self.extra.iter().any(|arg| arg == "--initial-cluster") {
                Vec::new()
            } else {
                vec!["--initial-cluster".to_owned(), self.peer_of_itself()]
            })
            .args(&self.extra)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("ETCD_UNSUPPORTED_ARCH", "arm64")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("needs Debian's etcd-server and etcd-client"));
    }

    /// With users: the state is asked for as this one.
    pub(crate) fn start_as(&mut self, user: &str) {
        self.spawn();
        eventually("etcd serves", || self.run(&["--user", user, "get", "/none"]).is_some());
    }

    /// Until it has a leader.
    pub(crate) fn wait(&self) {
        eventually("etcd serves", || self.run(&["endpoint", "health"]).is_some());
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn wipe(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.data).unwrap();
    }

    pub(crate) fn copy_data(&self, to: &Path) {
        copy(&self.data, to);
    }

    pub(crate) fn restore_data(&mut self, from: &Path) {
        self.wipe();
        copy(from, &self.data);
    }

    /// What etcdctl says, if all is well.
    pub(crate) fn run(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url(), "--command-timeout", "3s"])
            .args(args)
            .output()
            .expect("needs Debian's etcd-client");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[track_caller]
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        self.run(args).unwrap_or_else(|| panic!("etcdctl {args:?} failed"))
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.ctl(&["put", &format!("/apisix/{key}"), value]);
    }

    pub(crate) fn revision(&self) -> u64 {
        let status = self.ctl(&["get", "/none", "-w", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["header"]["revision"].as_u64().unwrap()
    }

    /// What no command line can hold, over the interface that APISIX uses.
    pub(crate) fn put_bytes(&self, key: &[u8], value: &[u8]) {
        let text = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, text(key), text(value));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let head = "POST /v3/kv/put HTTP/1.0\r\nhost: etcd\r\ncontent-length: ";
        write!(stream, "{head}{}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    /// Has etcdctl read this.
    pub(crate) fn say(&self, text: &str, args: &[&str]) {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}");
    }

    /// etcdctl's transaction: lines of compares, of successes.
    pub(crate) fn txn(&self, puts: &str) {
        self.say(&format!("\n{puts}\n\n\n"), &["txn"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// Waits until something holds; a machine under load may take its time.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

const PASS: u8 = 0;
/// Connections stay open and nothing comes through.
const HOLE: u8 = 1;
/// Connections are closed.
const CUT: u8 = 2;

/// A proxy before one server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    how: Arc<How>,
}

#[derive(Default)]
struct How {
    mode: AtomicU8,
    delay_ms: AtomicU64,
    /// Connections so far, and now.
    came: AtomicU64,
    open: AtomicU64,
}

impl Proxy {
    pub(crate) fn new(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let how = Arc::new(How::default());
        let of_thread = Arc::clone(&how);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                of_thread.came.fetch_add(1, Ordering::SeqCst);
                let how = Arc::clone(&of_thread);
                thread::spawn(move || forward(client, to, how));
            }
        });
        Self { port, how }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pass(&self) {
        self.how.mode.store(PASS, Ordering::SeqCst);
    }

    pub(crate) fn black_hole(&self) {
        self.how.mode.store(HOLE, Ordering::SeqCst);
    }

    pub(crate) fn cut(&self) {
        self.how.mode.store(CUT, Ordering::SeqCst);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.how.delay_ms.store(delay, Ordering::SeqCst);
    }

    /// Whether a connection goes through it.
    pub(crate) fn takes(&self) -> bool {
        self.how.open.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn came(&self) -> u64 {
        self.how.came.load(Ordering::SeqCst)
    }
}

fn forward(client: TcpStream, to: u16, how: Arc<How>) {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
    if how.mode.load(Ordering::SeqCst) == CUT {
        return;
    }
    let Ok(server) = TcpStream::connect(to) else { return };
    how.open.fetch_add(1, Ordering::SeqCst);
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::clone(&how));
    thread::spawn(move || pump(back.0, back.1, &back.2));
    pump(client, server, &how);
    how.open.fetch_sub(1, Ordering::SeqCst);
}

fn pump(mut from: TcpStream, mut to: TcpStream, how: &How) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 64 << 10];
    loop {
        match how.mode.load(Ordering::SeqCst) {
            CUT => break,
            HOLE => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            _ => {}
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                thread::sleep(Duration::from_millis(how.delay_ms.load(Ordering::SeqCst)));
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
