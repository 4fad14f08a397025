//! One connection that many calls share.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Notify,
    task::AbortHandle,
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::{
    command::{Command, Job},
    options::{Address, Tls},
    reply::{Error, Reply},
};

/// Calls that wait inside of the connection until it can write. More wait at its door.
const BUFFERED_MAX: usize = 128;

/// Who to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'o> {
    pub(super) username: Option<&'o str>,
    pub(super) password: Option<&'o str>,
    pub(super) database: i64,
    pub(super) tls: Option<&'o Tls>,
}

/// A connection; clones are the same one. It is closed with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: MultiplexedConnection,
    state: Arc<State>,
    driver: AbortHandle,
}

/// What calls and the task of the connection tell each other.
#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    /// Answers so far. They come in order, so that none for a while means a dead connection.
    replies: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Otherwise it would wait for answers that nobody wants.
        self.driver.abort();
    }
}

impl Link {
    /// Connects, shakes hands and logs in. `ended` is notified when the connection ends.
    pub(super) async fn open(
        address: &Address,
        login: Login<'_>,
        ended: Arc<Notify>,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        match login.tls {
            None => Self::log_in(stream, login, ended).await,
            Some(tls) => {
                let name = match ServerName::try_from(address.host.clone()) {
                    Ok(name) => name,
                    Err(_) => ServerName::from(stream.peer_addr()?.ip()),
                };
                let stream = tls.connector.connect(name, stream).await?;
                Self::log_in(stream, login, ended).await
            }
        }
    }

    async fn log_in<S>(stream: S, login: Login<'_>, ended: Arc<Notify>) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFERED_MAX);
        let info = login_info(login).map_err(io::Error::other)?;
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = made.map_err(io::Error::other)?;
        let state = Arc::new(State::default());
        let driver = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                driver.await;
                state.ended.store(true, Ordering::Release);
                ended.notify_one();
            }
        });
        Ok(Self(Arc::new(Inner { connection, state, driver: driver.abort_handle() })))
    }

    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.state.ended.load(Ordering::Acquire)
    }

    /// How many answers came so far.
    pub(super) fn replies(&self) -> u64 {
        self.0.state.replies.load(Ordering::Relaxed)
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Sends `job` and awaits the answer, however long that takes.
    pub(super) async fn run(&self, job: &Job) -> Result<Reply, Error> {
        match job {
            Job::Command(command) => self.one(command).await,
            Job::Several(commands) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.cmd().clone());
                }
                self.several(&pipeline, commands.len()).await.map(Reply::List)
            }
            Job::Script(script) => match self.one(script.by_digest()).await {
                Err(error) if error.is_code("NOSCRIPT") => self.one(&script.by_text()).await,
                result => result,
            },
        }
    }

    /// Sends `job` to a node that gets its slot just now.
    pub(super) async fn run_asking(&self, job: &Job) -> Result<Reply, Error> {
        let pipeline = job.asking();
        let count = pipeline.len();
        let mut replies = self.several(&pipeline, count).await?.into_iter().skip(1).step_by(2);
        if let Job::Several(_) = job {
            return Ok(Reply::List(replies.collect()));
        }
        match replies.next() {
            Some(Reply::Error(text)) => {
                let (code, detail) = text.split_once(' ').unwrap_or((&text, ""));
                Err(Error::Server { code: code.to_owned(), detail: detail.to_owned() })
            }
            Some(reply) => Ok(reply),
            None => Err(Error::Broken("an answer is missing".to_owned())),
        }
    }

    async fn one(&self, command: &Command) -> Result<Reply, Error> {
        let mut connection = self.0.connection.clone();
        let result = connection.send_packed_command(command.cmd()).await;
        self.answered(result).and_then(Reply::of_one)
    }

    async fn several(&self, pipeline: &redis::Pipeline, count: usize) -> Result<Vec<Reply>, Error> {
        let mut connection = self.0.connection.clone();
        let result = connection.send_packed_commands(pipeline, 0, count).await;
        let values = self.answered(result)?;
        Ok(values.into_iter().map(Reply::from_value).collect())
    }

    fn answered<T>(&self, result: RedisResult<T>) -> Result<T, Error> {
        match result {
            Ok(value) => {
                self.0.state.replies.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => Err(Error::of_link(&error)),
        }
    }
}

fn login_info(login: Login<'_>) -> RedisResult<RedisConnectionInfo> {
    // There is no other way to an empty one; its address is not used.
    let info = ConnectionAddr::Tcp(String::new(), 0).into_connection_info()?;
    let mut info = info.redis_settings().clone().set_db(login.database);
    // As Redis's own clients do: a user without a password cannot log in.
    if let Some(password) = login.password.filter(|password| !password.is_empty()) {
        info = info.set_password(password);
        if let Some(username) = login.username {
            info = info.set_username(username);
        }
    }
    Ok(info.set_skip_set_lib_name())
}
