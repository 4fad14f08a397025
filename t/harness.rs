//! A moongate of its own for one test: prefix, ports, upstream, and a client.
//!
//! Everything is on the loopback and ends with the test.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A directory with `conf/` and `plugins/`, and the ports that its `config.yaml` names.
pub(crate) struct Prefix {
    pub(crate) path: PathBuf,
    pub(crate) port: u16,
    pub(crate) status: u16,
    pub(crate) control: u16,
    pub(crate) metrics: u16,
}

impl Prefix {
    /// A prefix whose `config.yaml` holds the ports and `more`, sections below `moongate`,
    /// `nginx_config` and so on; `apisix` is taken by the ports.
    pub(crate) fn new(more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("moongate-t-{}-{count}", std::process::id());
        let [port, status, control, metrics] = free_ports();
        let prefix = Self { path: std::env::temp_dir().join(name), port, status, control, metrics };
        fs::create_dir_all(prefix.path.join("plugins")).unwrap();
        prefix.config(more);
        prefix
    }

    /// Writes `config.yaml`.
    pub(crate) fn config(&self, more: &str) {
        let Self { port, status, control, metrics, .. } = self;
        let text = format!(
            "apisix:
  node_listen: [{{port: {port}, ip: 127.0.0.1}}]
  status: {{port: {status}}}
  control: {{port: {control}}}
plugin_attr: {{prometheus: {{export_addr: {{port: {metrics}}}}}}}
{more}\n"
        );
        self.write("conf/config.yaml", &text);
    }

    /// Writes `apisix.yaml` with its end mark.
    pub(crate) fn objects(&self, text: &str) {
        self.write("conf/apisix.yaml", &format!("{text}\n#END\n"));
    }

    /// Writes a file beside its place and moves it there.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &path).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_default()
    }

    /// The command with this prefix.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moongate"));
        command.arg("-p").arg(&self.path).args(words);
        command.env_remove("MOONGATE_WORKERS").env_remove("APISIX_WORKER_PROCESSES");
        command
    }

    /// Runs a verb that ends by itself.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts the gateway and waits until it is ready.
    pub(crate) fn start(self) -> Gateway {
        let command = self.command(&["start"]);
        self.start_as(command)
    }

    /// Starts the gateway by a command of one's own.
    pub(crate) fn start_as(self, mut command: Command) -> Gateway {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut gateway = Gateway { child, prefix: self };
        let ready = || answer(gateway.prefix.status, "/status/ready").is_some_and(|a| a.0 == 200);
        if !until(ready) {
            let ended = gateway.child.try_wait();
            panic!("it does not start: {ended:?}\n{}", gateway.log());
        }
        gateway
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // Left behind, it only takes room in the temporary directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running gateway; ended when dropped.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) prefix: Prefix,
}

impl Gateway {
    /// A gateway that serves these objects.
    pub(crate) fn with(objects: &str) -> Self {
        let prefix = Prefix::new("");
        prefix.objects(objects);
        prefix.start()
    }

    /// Status and body of `GET path`.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        answer(self.prefix.port, path).unwrap_or_else(|| panic!("no answer\n{}", self.log()))
    }

    /// Waits until `GET path` is answered like this.
    #[track_caller]
    pub(crate) fn comes(&self, path: &str, status: u16, body: &str) {
        let good = || {
            answer(self.prefix.port, path)
                .is_some_and(|got| got.0 == status && got.1.contains(body))
        };
        assert!(until(good), "{path} answers {:?}\n{}", self.get(path), self.log());
    }

    /// Waits until the error log has a line with this text.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        assert!(until(|| self.log().contains(text)), "no \"{text}\" in\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        self.prefix.read("logs/error.log")
    }

    /// Waits for the end of the process and says whether it was a good one.
    pub(crate) fn ends_well(&mut self) -> bool {
        let child = &mut self.child;
        assert!(until(|| child.try_wait().unwrap().is_some()), "it does not end");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself, as some tests ask it to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until `good` or out of patience.
pub(crate) fn until(mut good: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if good() {
            return true;
        }
        thread::sleep(LOOK);
    }
    good()
}

/// Status and body of `GET path`; `None` if nobody answers.
pub(crate) fn answer(port: u16, path: &str) -> Option<(u16, String)> {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
        .map(|(status, _, body)| (status, body))
}

/// Sends a request whose answer ends with the connection; gives status, head and body.
pub(crate) fn ask(port: u16, request: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_owned(), body.to_owned()))
}

/// Four ports that nobody listens on at this moment.
fn free_ports() -> [u16; 4] {
    // All four are held until all are known, or the kernel might give one twice.
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A server that answers every request with `name`, the request line and the body's length.
/// Its thread ends with the process.
pub(crate) fn upstream(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream, name));
        }
    });
    port
}

/// Answers the requests of one connection; a body needs a `Content-Length`.
fn serve(mut stream: &TcpStream, name: &str) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head_end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut more = [0; 4096];
            let read = stream.read(&mut more).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&more[..read]);
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(field, _)| field.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().unwrap_or(0));
        bytes.drain(..head_end);
        while bytes.len() < length {
            let mut more = [0; 65536];
            let read = stream.read(&mut more).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&more[..read]);
        }
        bytes.drain(..length);
        let line = head.lines().next().unwrap_or_default();
        let body = format!("{name}: {line}, {length} bytes\n");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// A route `id` to `port` for all below `/id`.
pub(crate) fn route(id: &str, port: u16) -> String {
    format!("  - {{id: {id}, uri: /{id}*, upstream: {{nodes: {{\"127.0.0.1:{port}\": 1}}}}}}\n")
}
