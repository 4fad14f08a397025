//! The connection to etcd: over which endpoint, as whom, and for how long.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::{
    fail::{Fail, UNAVAILABLE},
    grpc::{self, Sender, Stream, Target},
    jitter,
    options::{Endpoint, Options},
    proto::{AuthenticateRequest, AuthenticateResponse, StatusRequest, StatusResponse},
};
use crate::clock;

/// After this long without success the next endpoint is tried beside it.
const STAGGER: Duration = Duration::from_secs(1);

/// A refused password is not tried again for so long. etcd spends much time on each try.
const LOGIN_PAUSE: Duration = Duration::from_secs(3);

/// Bytes that etcd may send before we have read: of one stream, of all.
const WINDOWS: (u32, u32) = (4 << 20, 8 << 20);

/// A connection to one endpoint. It is closed with the last who holds it.
#[derive(Debug)]
pub(super) struct Link {
    sender: Sender,
    endpoint: usize,
    url: String,
    driver: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        // Otherwise one that leads nowhere would be kept for as long as the system tries.
        self.driver.abort();
    }
}

#[derive(Debug, Default)]
struct Current {
    link: Option<Arc<Link>>,
    /// The endpoint to begin with.
    first: usize,
    /// When each endpoint failed.
    failed: Vec<Option<Instant>>,
    /// When all endpoints failed, and why.
    none: Option<(Instant, String)>,
}

#[derive(Debug, Default)]
struct Login {
    /// Which login it is, counted from 1; 0 if there was none yet.
    number: u64,
    /// None also where etcd asks nobody who he is.
    token: Option<HeaderValue>,
    refused: Option<(Instant, Fail)>,
}

/// All that speaks with etcd goes through one of these.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) options: Options,
    current: Mutex<Current>,
    login: Mutex<Login>,
    /// How often somebody logged in.
    pub(super) logins: AtomicU64,
}

impl Client {
    pub(super) fn new(options: Options) -> Self {
        let endpoints = options.endpoints.len();
        // Gateways spread over the members.
        let first = usize::try_from(jitter::random()).unwrap_or(0) % endpoints.max(1);
        let current = Current { first, failed: vec![None; endpoints], ..Current::default() };
        let current = Mutex::new(current);
        Self { options, current, login: Mutex::default(), logins: AtomicU64::new(0) }
    }

    /// The connection, made anew where there is none.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Fail> {
        let asked = clock::now();
        let mut current = self.current.lock().await;
        if let Some(link) = &current.link
            && !link.sender.is_closed()
        {
            return Ok(Arc::clone(link));
        }
        // Whoever waited while another tried in vain need not try the same again.
        if let Some((at, why)) = &current.none
            && *at >= asked
        {
            return Err(Fail::NotSent(why.clone()));
        }
        current.link = None;
        match self.dial_any(&mut current).await {
            Ok(link) => {
                let link = Arc::new(link);
                current.first = link.endpoint;
                current.none = None;
                current.link = Some(Arc::clone(&link));
                Ok(link)
            }
            Err(why) => {
                current.none = Some((clock::now(), why.clone()));
                Err(Fail::NotSent(why))
            }
        }
    }

    /// Uses this connection no more, and its endpoint only after the others.
    pub(super) async fn forget(&self, link: &Link) {
        let mut current = self.current.lock().await;
        if let Some(failed) = current.failed.get_mut(link.endpoint) {
            *failed = Some(clock::now());
        }
        if current.link.as_ref().is_some_and(|current| std::ptr::eq(&raw const **current, link)) {
            current.link = None;
        }
    }

    /// Endpoints in the order to try them: from the last good one on, and those that failed a
    /// short while ago at the end.
    fn order(&self, current: &Current) -> Vec<usize> {
        let count = self.options.endpoints.len();
        let failed = |at: &usize| {
            let failed = current.failed.get(*at).copied().flatten();
            failed.is_some_and(|at| {
                clock::now().saturating_duration_since(at) < self.options.health_check_timeout
            })
        };
        let all = (0..count).map(|step| (current.first + step) % count.max(1));
        let (last, mut order): (Vec<_>, Vec<_>) = all.partition(failed);
        order.extend(last);
        order
    }

    async fn dial_any(&self, current: &mut Current) -> Result<Link, String> {
        let mut waiting = self.order(current).into_iter();
        let mut tries = JoinSet::new();
        let mut why = Vec::new();
        loop {
            if tries.is_empty() {
                let Some(at) = waiting.next() else { return Err(why.join("; ")) };
                tries.spawn(self.dial(at));
            }
            tokio::select! {
                Some(done) = tries.join_next() => match done {
                    Ok((_, Ok(link))) => return Ok(link),
                    Ok((at, Err(fail))) => {
                        if let Some(failed) = current.failed.get_mut(at) {
                            *failed = Some(clock::now());
                        }
                        let url = self.options.endpoints.get(at).map(|endpoint| &endpoint.url);
                        why.push(format!("{}: {fail}", url.map_or("", String::as_str)));
                    }
                    Err(error) => why.push(error.to_string()),
                },
                () = sleep(STAGGER), if waiting.len() > 0 => {
                    if let Some(at) = waiting.next() {
                        tries.spawn(self.dial(at));
                    }
                }
            }
        }
    }

    /// Connects to one endpoint, and has it say how it is.
    fn dial(&self, at: usize) -> impl Future<Output = (usize, Result<Link, Fail>)> + use<> {
        let endpoint = self.options.endpoints.get(at).cloned();
        let (tls, sni) = (self.options.tls.clone(), self.options.sni.clone());
        let limit = self.options.timeout.min(self.options.health_check_timeout);
        async move {
            let Some(endpoint) = endpoint else {
                return (at, Err(Fail::NotSent("no such endpoint".to_owned())));
            };
            let dialled = timeout(limit, async {
                let link = connect(endpoint, at, tls, sni).await?;
                check(&link).await.map(|()| link)
            });
            let late = || Fail::NotSent(format!("does not answer within {limit:?}"));
            (at, dialled.await.unwrap_or_else(|_| Err(late())))
        }
    }

    /// What proves who we are, and the number of the login it came from. `stale` is the number of
    /// one that etcd takes no more.
    async fn token(
        &self,
        link: &Link,
        stale: Option<u64>,
    ) -> Result<(u64, Option<HeaderValue>), Fail> {
        let Some((user, password)) = &self.options.login else { return Ok((0, None)) };
        let mut login = self.login.lock().await;
        if login.number != 0 && stale != Some(login.number) && login.refused.is_none() {
            return Ok((login.number, login.token.clone()));
        }
        if let Some((at, fail)) = &login.refused
            && clock::now().saturating_duration_since(*at) < LOGIN_PAUSE
        {
            return Err(fail.clone());
        }
        let question = AuthenticateRequest { name: user.clone(), password: password.clone() };
        self.logins.fetch_add(1, Ordering::Relaxed);
        let target =
            Target { base: &link.url, path: "/etcdserverpb.Auth/Authenticate", token: None };
        let mut sender = link.sender.clone();
        let asked = grpc::call::<AuthenticateResponse>(&mut sender, target, &question);
        let token = match self.within(asked).await {
            Ok(answer) => {
                let token = HeaderValue::from_str(&answer.token);
                let mut token = token.map_err(|error| Fail::Nonsense(error.to_string()))?;
                token.set_sensitive(true);
                Some(token)
            }
            Err(Fail::Refused { text, .. }) if text.contains("authentication is not enabled") => {
                None
            }
            Err(Fail::Refused { code, text }) if code != UNAVAILABLE => {
                let text = format!("user {user:?} is refused: {text}");
                let fail = Fail::Refused { code, text };
                login.refused = Some((clock::now(), fail.clone()));
                return Err(fail);
            }
            Err(fail) => return Err(fail),
        };
        login.refused = None;
        login.number += 1;
        login.token = token;
        Ok((login.number, login.token.clone()))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
        let limit = self.options.timeout;
        let late = || Fail::Broken(format!("no answer within {limit:?}"));
        timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whether to log in anew and ask again; etcd refused before it did anything.
    fn again(&self, fail: &Fail, stale: Option<u64>) -> bool {
        fail.wants_login() && stale.is_none() && self.options.login.is_some()
    }

    /// Asks etcd.
    pub(super) async fn call<M: Message + Default>(
        &self,
        link: &Link,
        path: &'static str,
        question: &impl Message,
    ) -> Result<M, Fail> {
        let mut stale = None;
        loop {
            let (number, token) = self.token(link, stale).await?;
            let target = Target { base: &link.url, path, token: token.as_ref() };
            let mut sender = link.sender.clone();
            match self.within(grpc::call(&mut sender, target, question)).await {
                Err(fail) if self.again(&fail, stale) => stale = Some(number),
                done => return done.map_err(|fail| self.hinted(fail)),
            }
        }
    }

    /// Begins a stream. That etcd wants to know who we are shows only in what it answers.
    pub(super) async fn stream(
        &self,
        link: &Link,
        path: &'static str,
        first: &impl Message,
    ) -> Result<Stream, Fail> {
        let mut stale = None;
        loop {
            let (number, token) = self.token(link, stale).await?;
            let target = Target { base: &link.url, path, token: token.as_ref() };
            let mut sender = link.sender.clone();
            match self.within(grpc::open(&mut sender, target, first)).await {
                Err(fail) if self.again(&fail, stale) => stale = Some(number),
                done => return done.map_err(|fail| self.hinted(fail)),
            }
        }
    }

    /// Has the next call log in anew.
    pub(super) async fn log_out(&self) {
        self.login.lock().await.number = 0;
    }

    fn hinted(&self, fail: Fail) -> Fail {
        match fail {
            Fail::Refused { code, text }
                if self.options.login.is_none() && text.contains("user name is empty") =>
            {
                let text = format!("{text} (set deployment.etcd.user and password)");
                Fail::Refused { code, text }
            }
            fail => fail,
        }
    }
}

fn not_sent(error: &io::Error) -> Fail {
    Fail::NotSent(error.to_string())
}

async fn connect(
    endpoint: Endpoint,
    at: usize,
    tls: Option<tokio_rustls::TlsConnector>,
    sni: Option<String>,
) -> Result<Link, Fail> {
    let to = (endpoint.host.as_str(), endpoint.port);
    let stream = TcpStream::connect(to).await.map_err(|error| not_sent(&error))?;
    stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
    let (sender, driver) = if endpoint.tls {
        let Some(tls) = tls else {
            return Err(Fail::NotSent("is https, and there is nothing to do TLS with".to_owned()));
        };
        let name = sni.unwrap_or(endpoint.host);
        let name = ServerName::try_from(name)
            .map_err(|error| Fail::NotSent(format!("its name for TLS: {error}")))?;
        let stream = tls
            .connect(name, stream)
            .await
            .map_err(|error| Fail::NotSent(format!("TLS handshake: {error}")))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Fail::NotSent("does not speak HTTP/2, so it is no etcd".to_owned()));
        }
        shake(stream).await?
    } else {
        shake(stream).await?
    };
    Ok(Link { sender, endpoint: at, url: endpoint.url, driver })
}

async fn shake<S>(stream: S) -> Result<(Sender, AbortHandle), Fail>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_header_list_size(64 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Fail::NotSent(error.to_string()))?;
    // Why it ends is told to those who wait for an answer.
    let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
    Ok((sender, driver))
}

/// Has the endpoint prove that it is an etcd that can serve.
async fn check(link: &Link) -> Result<(), Fail> {
    let target = Target { base: &link.url, path: "/etcdserverpb.Maintenance/Status", token: None };
    let mut sender = link.sender.clone();
    match grpc::call::<StatusResponse>(&mut sender, target, &StatusRequest {}).await {
        Ok(status) if status.leader == 0 => {
            Err(Fail::NotSent("has lost the other members: there is no leader".to_owned()))
        }
        Ok(status) if too_old(&status.version) => {
            let version = status.version;
            Err(Fail::NotSent(format!("is etcd {version}, and 3.4 or later is needed")))
        }
        // Whoever may not ask for the state may still read.
        Err(Fail::Refused { code, .. }) if code != UNAVAILABLE => Ok(()),
        Ok(_) => Ok(()),
        Err(fail) => Err(Fail::NotSent(fail.to_string())),
    }
}

fn too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < (3, 4),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(too_old("3.3.27") && too_old("2.10.0"));
        assert!(!too_old("3.4.0") && !too_old("3.10.1") && !too_old("4.0.0") && !too_old("?"));
    }
}
