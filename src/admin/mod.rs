//! The Admin API, version 3, as APISIX has it: what a request asks for, and what is answered.
//!
//! * `table` says what resources there are; the handlers in `objects` and the checks
//!   in `check` are the same for all of them.
//! * Objects are kept by a [`Store`], plugins are known by a [`Judge`]; in standalone mode a
//!   [`Standalone`] takes whole configurations instead.
//! * [`Admin::serve`] is one request, and knows HTTP only as the types of the `http` crate;
//!   [`listener`] brings it to a port.
//!
//! Secrets: nothing here logs a body; what is wrong with an object is told without its secrets
//! (`mask`), and what the store gets is encrypted
//! ([`Keyring`](crate::config::keyring::Keyring)).

mod check;
mod delete;
pub mod judge;
pub mod keyfile;
mod keys;
mod list;
pub mod listener;
mod mask;
mod objects;
mod past;
mod patch;
mod pem;
mod plugins;
mod reply;
mod sealing;
mod settings;
pub mod standalone;
mod state;
mod table;
mod transfer;
mod unique;
mod validate;
mod wire;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, request::Parts};
use serde_json::{Value, json};

use self::{
    check::Fault,
    judge::{Facts, Question},
    keys::Guard,
    wire::{Body, Query, Reply},
};
pub use self::{
    judge::Judge,
    mask::redact_refusal,
    sealing::{conceal_conf, conceal_stored, open_stored},
    settings::Settings,
    standalone::Standalone,
    wire::BodyError,
};
use crate::{config::check::Verdict, store::Store};

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 1_572_864;

/// Bytes of a whole configuration in standalone mode.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Characters of a body that cannot be read which an answer repeats.
const ECHO_MAX: usize = 4096;

/// Seconds after which a key goes at the latest, as etcd has it.
const TTL_SECONDS_MAX: f64 = 9e9;

/// Something an operator should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Note<'a> {
    /// An object was changed.
    Changed {
        /// The name of the key that was used.
        who: &'a str,
        /// From where.
        address: IpAddr,
        /// The method.
        what: &'a str,
        /// The object, below the prefix.
        key: &'a str,
        /// The revision that the change made.
        revision: u64,
    },
    /// A request was refused because of its key.
    Refused {
        /// From where.
        address: IpAddr,
        /// Why.
        why: &'a str,
    },
    /// Something else went wrong; the text has no secrets.
    Warning(&'a str),
}

/// Who hears of [`Note`]s. It is called while a request waits.
pub type Tell = Box<dyn Fn(Note<'_>) + Send + Sync>;

/// The Admin API.
pub struct Admin {
    store: Arc<dyn Store>,
    judge: Arc<dyn Judge>,
    standalone: Option<Arc<dyn Standalone>>,
    settings: Settings,
    guard: Guard,
    /// How long the filters of one list may take.
    filter_time: Duration,
    /// Whole configurations that are read now.
    configs: AtomicUsize,
    tell: Tell,
}

/// One request that was let in.
struct Call<'a> {
    /// The name of its key.
    who: &'a str,
    address: IpAddr,
    method: &'a Method,
    query: &'a Query,
    fields: &'a HeaderMap,
    facts: &'a Facts,
    ttl: Option<Duration>,
    body: Option<Value>,
}

impl Admin {
    /// An Admin API that answers by `settings`.
    pub fn new(
        store: Arc<dyn Store>,
        judge: Arc<dyn Judge>,
        settings: Settings,
        tell: Tell,
    ) -> Self {
        let (guard, configs) = (Guard::new(), AtomicUsize::new(0));
        let filter_time = list::FILTER_TIME;
        Self { store, judge, standalone: None, settings, guard, filter_time, configs, tell }
    }

    /// The same in standalone mode: whole configurations instead of objects.
    #[must_use]
    pub fn standalone(mut self, standalone: Arc<dyn Standalone>) -> Self {
        self.standalone = Some(standalone);
        self
    }

    /// Answers a request from `address`. `body` is called at most once, with the bytes it may
    /// have, and only for somebody who may do what the request asks for.
    pub async fn serve<B>(&self, address: IpAddr, request: &Parts, body: B) -> Response<Bytes>
    where
        B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
    {
        let reply = self.reply(address, request, body).await;
        let version = if self.settings.v3 { "v3" } else { "v2" };
        let mut common = vec![("server", crate::SERVER), ("x-api-version", version)];
        if self.settings.cors {
            common.extend([
                ("access-control-allow-origin", "*"),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", "*"),
                ("access-control-max-age", "3600"),
            ]);
        }
        let mut response = reply.into_response(&common);
        if request.method == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        response
    }

    async fn reply<B>(&self, address: IpAddr, request: &Parts, body: B) -> Reply
    where
        B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
    {
        if !self.settings.admits(address) {
            return Reply::new(403, Body::Page);
        }
        if self.settings.cors && request.method == Method::OPTIONS {
            return preflight();
        }
        let Some(segments) = wire::segments(request.uri.path()) else {
            return Reply::error(400, "invalid path");
        };
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let Some(path) = segments.strip_prefix(&["apisix", "admin"]) else {
            return Reply::new(404, Body::Page);
        };
        if path.is_empty() && request.method == Method::HEAD {
            return Reply::new(200, Body::None);
        }
        let known = match self.standalone {
            Some(_) => standalone::serves(&request.method, path),
            None => !path.is_empty() && METHODS.contains(&request.method.as_str()),
        };
        if !known {
            return Reply::new(404, Body::Page);
        }
        let query = Query::read(request.uri.query().unwrap_or_default());
        let who = match self.admit(address, request, &query) {
            Ok(who) => who,
            Err(reply) => return *reply,
        };
        let facts = self.judge.facts();
        let call = Call {
            who,
            address,
            method: &request.method,
            query: &query,
            fields: &request.headers,
            facts: &facts,
            ttl: None,
            body: None,
        };
        let answer = match &self.standalone {
            Some(standalone) => self.whole(standalone.as_ref(), call, path, body).await,
            None => self.dispatch(call, path, body).await,
        };
        answer.unwrap_or_else(Fault::into_reply)
    }

    /// The name of who asks, if its key allows what is asked.
    fn admit(&self, address: IpAddr, request: &Parts, query: &Query) -> Result<&str, Box<Reply>> {
        let Some(keys) = &self.settings.keys else { return Ok(self.settings.keyless) };
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if !reads && self.settings.is_keyless() {
            let text = "the Admin API has no key: none is configured in \
                        deployment.admin.admin_key, and none could be stored in the data directory";
            return Err(Box::new(Reply::error(503, text)));
        }
        if self.guard.must_wait(address) {
            (self.tell)(Note::Refused { address, why: "too many wrong keys" });
            let reply = Reply::error(429, "too many requests with a wrong apikey");
            return Err(Box::new(reply.with("retry-after", "1")));
        }
        let key = keys::presented(query, &request.headers);
        keys.check(key.as_deref(), &request.method).map_err(|refusal| {
            if refusal == keys::Refusal::Wrong {
                self.guard.wrong(address);
            }
            let why = refusal.description();
            (self.tell)(Note::Refused { address, why });
            let body = json!({"error_msg": "failed to check token", "description": why});
            Box::new(Reply::json(401, body))
        })
    }

    async fn dispatch<B>(&self, mut call: Call<'_>, path: &[&str], body: B) -> Result<Reply, Fault>
    where
        B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
    {
        match (call.method.as_str(), path) {
            ("GET", ["plugins", "list"]) => return Ok(plugins::list(&call)),
            (method, ["plugins", "reload"]) => return self.reload(&call, method).await,
            ("GET", ["moongate", "history"]) => return self.history(&call).await,
            ("GET", ["moongate", "diff"]) => return self.diff(&call).await,
            ("POST", ["moongate", "rollback"]) => return self.rollback(&call).await,
            ("POST", ["moongate", "export"]) => return self.export(&call).await,
            ("POST", ["moongate", "import"]) => return self.import(&call, body).await,
            ("POST", ["configs", "validate"]) => {
                let bytes = read(body, BODY_BYTES_MAX).await?;
                return self.validate(&call, &bytes).await;
            }
            _ => {}
        }
        let validated = match (call.method.as_str(), path) {
            ("POST", ["schema", "validate", name, ..]) => Some(*name),
            _ => None,
        };
        let target = match validated {
            Some(_) => None,
            None => self.target(call.method, path)?,
        };
        let bytes = read(body, BODY_BYTES_MAX).await?;
        call.body = self.decode(&bytes, call.facts)?;
        if let Some(name) = validated {
            return plugins::validate(name, call.body);
        }
        call.ttl = ttl(call.query)?;
        match target {
            None => Ok(plugins::get(&call, path)),
            Some(target) => self.object(call, target).await,
        }
    }

    /// Reads a JSON body; none if there are no bytes.
    fn decode(&self, bytes: &[u8], facts: &Facts) -> Result<Option<Value>, Fault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        wire::json(bytes).map(Some).map_err(|error| {
            let text = String::from_utf8_lossy(bytes);
            let echo: String = mask::broken(&text, facts).chars().take(ECHO_MAX).collect();
            let message = format!("invalid request body: {error}");
            Reply::json(400, json!({"error_msg": message, "req_body": echo})).into()
        })
    }

    async fn reload(&self, call: &Call<'_>, method: &str) -> Result<Reply, Fault> {
        if method != "PUT" {
            return Ok(Reply::error(
                405,
                format!(
                    "please use PUT method to reload the plugins, {method} method is not allowed."
                ),
            ));
        }
        self.judge.reload_plugins().await.map_err(Fault::Unavailable)?;
        self.publish_plugins(call.who).await?;
        let (who, address) = (call.who, call.address);
        (self.tell)(Note::Changed {
            who,
            address,
            what: "PUT",
            key: "plugins/reload",
            revision: 0,
        });
        Ok(Reply::text(200, "done"))
    }

    /// Asks the [`Judge`]; each question has its answer.
    async fn ask(&self, questions: Vec<Question>) -> Result<Vec<Verdict>, Fault> {
        let asked = questions.len();
        let verdicts = self.judge.check(questions).await.map_err(Fault::Unavailable)?;
        if verdicts.len() == asked {
            return Ok(verdicts);
        }
        Err(Fault::Unavailable("plugins could not be asked".to_owned()))
    }
}

/// Methods of objects.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

/// The answer to a browser that asks whether it may ask.
fn preflight() -> Reply {
    Reply::new(200, Body::None)
        .with("access-control-allow-methods", "POST, GET, PUT, OPTIONS, DELETE, PATCH")
        .with("access-control-allow-headers", "*")
        .with("content-type", "text/plain")
}

async fn read<B>(body: B, bytes_max: usize) -> Result<Bytes, Fault>
where
    B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
{
    body(bytes_max).await.map_err(|error| {
        let why = match error {
            BodyError::TooLarge(bytes) => {
                format!("request size {bytes} is greater than the maximum size {bytes_max} allowed")
            }
            BodyError::Broken(why) => why,
        };
        Fault::Bad(format!("invalid request body: {why}"))
    })
}

fn ttl(query: &Query) -> Result<Option<Duration>, Fault> {
    let Some(text) = query.get("ttl") else { return Ok(None) };
    let Some(seconds) = wire::number(text) else {
        return Err(Fault::Bad("invalid argument ttl: should be a number".to_owned()));
    };
    Ok(Some(Duration::from_secs_f64(seconds.clamp(1.0, TTL_SECONDS_MAX))))
}

#[cfg(test)]
mod tests;
