//! Cosockets, semaphores, child processes and the HTTP client, in a real VM against servers on loopback.

mod http;
mod pipe;
mod pool;
mod sync;
mod tcp;
mod tls;
mod udp;

use std::{future::Future, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

use crate::{
    log::{rotate::RotateOptions, writer::LogFile},
    lua::{
        Vm,
        env::{Env, Process, Settings},
        loader::{Generation, Places},
        pace::Pace,
        raw::current::Phase,
        task::{self, Finish},
    },
    shared::{counts::Counts, dicts::Dicts, metrics::Registry},
    upstream::resolve::{Names, Options, Resolver, hosts},
};

/// Makes all results of a call one string.
const PRELUDE: &str = "local function show(...) local t = {} for i = 1, select('#', ...) do \
     t[i] = tostring((select(i, ...))) end return table.concat(t, '|') end ";

/// A VM of a worker that serves.
pub(in crate::lua::host) struct Bench {
    pub(in crate::lua::host) vm: Rc<Vm>,
}

impl Bench {
    pub(in crate::lua::host) async fn new() -> Self {
        Self::with(serde_json::json!({})).await
    }

    async fn with(local: serde_json::Value) -> Self {
        let settings = Settings {
            snippets: None,
            module_hook: None,
            resume_bytes_max: 256 << 20,
            vm_bytes_max: 512 << 20,
            budget: Duration::from_secs(20),
            breaker: crate::lua::breaker::Limits {
                overruns_max: 3,
                window: Duration::from_secs(10),
                suspend: Duration::from_secs(30),
            },
            pending_timers_max: 100,
            running_timers_max: 100,
            body_memory_bytes_max: 1 << 20,
            prefix: PathBuf::from("/nonexistent/"),
        };
        let options = Options {
            hosts: hosts::parse("127.0.0.1 node.test\n127.0.0.1 other.test\n"),
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            timeout: Duration::from_millis(300),
            ..Options::default()
        };
        let resolver = Rc::new(Resolver::new(Names::new(options), 0));
        let env = Env::new(
            settings,
            (0, 1),
            (Arc::default(), Arc::new(local)),
            Process {
                dicts: Arc::new(Dicts::new([])),
                metrics: Arc::new(Registry::new("test_", 1)),
                nonces: Arc::default(),
                health: Arc::new(crate::health::Registry::off()),
                counts: Arc::new(Counts::new(1)),
                redis: Arc::default(),
                access: LogFile::off(),
                rotation: RotateOptions::off(),
            },
            Some(resolver),
        );
        let generation = Arc::new(Generation::new(1, Places::default()));
        Self { vm: Rc::new(Vm::bare(env, generation, &Pace::at_once()).await.unwrap()) }
    }

    /// Runs `code` as a timer would; its first result.
    async fn run(&self, code: &str) -> String {
        let core = &self.vm.core;
        let chunk = core.lua().load(format!("{PRELUDE}{code}")).into_function().unwrap();
        let chunk = core.keep(chunk).unwrap();
        let co = core.coroutine();
        co.push_ref(&chunk);
        match task::run(core, co, 0, None, Phase::Timer).await {
            Finish::Returned(co) => {
                let text = co.str(1).map(|text| String::from_utf8_lossy(&text).into_owned());
                core.recycle(co);
                text.unwrap_or_else(|| "(no string)".to_owned())
            }
            Finish::Exited(code) => format!("exit {code}"),
            Finish::Failed(failure) => format!("error: {}", failure.message),
        }
    }

    #[track_caller]
    fn check(&self, code: String, expected: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let found = self.run(&code).await;
            assert_eq!(found, expected, "at {place}, of: {code}");
        }
    }
}

/// Runs a test as a worker runs: one thread, local tasks.
fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(30), test).await.unwrap() };
    LocalSet::new().block_on(&runtime, limited);
}

/// A server that treats every connection with `serve`; its port.
async fn server<F>(serve: impl Fn(TcpStream) -> F + 'static) -> u16
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    port
}

/// Sends back what comes, until the end.
async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

/// Answers line `n pause text` with `text`, `n` bytes at a time, waiting `pause` ms before
/// each; `close` closes.
async fn scripted(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line.trim_end() == "close" {
            return;
        }
        let mut words = line.trim_end_matches('\n').splitn(3, ' ');
        let size = words.next().unwrap().parse().unwrap();
        let pause = Duration::from_millis(words.next().unwrap().parse().unwrap());
        let text = words.next().unwrap().replace("\\n", "\n").replace("\\r", "\r");
        for part in text.as_bytes().chunks(size) {
            tokio::time::sleep(pause).await;
            if stream.write_all(part).await.is_err() {
                return;
            }
        }
    }
}

/// Reads up to the empty line of a request's head.
async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
        if head.get(before..) == Some("\r\n") {
            return Some(head);
        }
    }
}

/// Reads exactly `size` bytes.
async fn read_exactly(stream: &mut BufReader<TcpStream>, size: usize) -> String {
    let mut body = vec![0; size];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}
