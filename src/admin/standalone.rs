//! The Admin API in standalone mode: one configuration, put and read as a whole.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Admin, BodyError, CONFIG_BYTES_MAX, Call, Note,
    check::Fault,
    judge::Later,
    read,
    validate::{self, COLLECTIONS, version_key},
    wire::{Body, Reply},
};
use crate::clock;

/// Whole configurations that are read at once, each with up to [`CONFIG_BYTES_MAX`].
const CONFIGS_MAX: usize = 4;

const DIGEST: &str = "X-Digest";
const LAST_MODIFIED: &str = "X-Last-Modified";

/// A configuration that was put.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    /// Its collections, and the version of each as `<collection>_conf_version`.
    pub config: Map<String, Value>,
    /// What the client calls it.
    pub digest: String,
    /// Seconds since 1970 when it was put.
    pub modified: u64,
}

/// Who keeps the configuration and gives it to the workers.
pub trait Standalone: Send + Sync {
    /// What was put last; nothing if nothing was since the start.
    fn get(&self) -> Option<Arc<Held>>;

    /// Takes a configuration that was checked. One of two that come at once may be lost, but only
    /// as a whole.
    ///
    /// # Errors
    ///
    /// Why the old one stays in use.
    fn put(&self, held: Held) -> Later<'_, Result<(), String>>;
}

/// Whether there is something at this path.
pub(super) fn serves(method: &Method, path: &[&str]) -> bool {
    match path {
        ["configs"] => matches!(*method, Method::GET | Method::PUT | Method::HEAD),
        ["configs", "validate"] => method == Method::POST,
        _ => false,
    }
}

impl Admin {
    pub(super) async fn whole<B>(
        &self,
        standalone: &dyn Standalone,
        call: Call<'_>,
        path: &[&str],
        body: B,
    ) -> Result<Reply, Fault>
    where
        B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
    {
        let _place;
        if matches!(*call.method, Method::POST | Method::PUT) {
            let busy = || Reply::error(503, "too many configurations at once");
            _place = Place::take(&self.configs).ok_or_else(busy)?;
        }
        match (call.method.as_str(), path) {
            ("POST", _) => {
                let bytes = read(body, CONFIG_BYTES_MAX).await?;
                self.validate(&call, &bytes).await
            }
            ("PUT", _) => {
                let Some(digest) = text(&call, "x-digest") else {
                    return Err(Fault::Bad("missing digest header".to_owned()));
                };
                let digest = digest.to_owned();
                let bytes = read(body, CONFIG_BYTES_MAX).await?;
                self.take(standalone, &call, digest, &bytes).await
            }
            ("HEAD", _) => Ok(labelled(Reply::new(200, Body::None), standalone.get().as_deref())),
            _ => Ok(show(&call, standalone.get().as_deref())),
        }
    }

    async fn take(
        &self,
        standalone: &dyn Standalone,
        call: &Call<'_>,
        digest: String,
        bytes: &Bytes,
    ) -> Result<Reply, Fault> {
        let mut new = validate::read(call, bytes)?;
        let before = standalone.get();
        if before.as_ref().is_some_and(|before| before.digest == digest) {
            return Ok(Reply::new(204, Body::None));
        }
        if let Some(problem) = self.problems(call, &new, 1).await?.first() {
            let error = problem.get("error").and_then(Value::as_str).unwrap_or_default();
            // Of a version this API says less than the one that tells everything.
            let error = error
                .split_once(" must be a number, got ")
                .map_or_else(|| error.to_owned(), |(key, _)| format!("{key} must be a number"));
            return Err(Fault::Bad(error));
        }
        let mut config = Map::new();
        for name in COLLECTIONS {
            let key = version_key(name);
            let old = before.as_ref().and_then(|before| before.config.get(&key));
            let old = old.and_then(Value::as_f64).unwrap_or(0.0);
            let said = new.get(&key).and_then(Value::as_f64);
            let version = said.unwrap_or(old + 1.0);
            if version < old {
                return Err(Fault::Bad(format!(
                    "{key} must be greater than or equal to ({})",
                    json_number(old)
                )));
            }
            let kept = version <= old;
            let items = match &before {
                _ if !kept => new.shift_remove(name),
                Some(before) => before.config.get(name).cloned(),
                None => None,
            };
            let items = items.filter(|items| items.as_array().is_some_and(|list| !list.is_empty()));
            config.extend(items.map(|items| (name.to_owned(), items)));
            config.insert(key, json_number(version));
        }
        let held = Held { config, digest, modified: clock::wall().as_secs() };
        let reply = labelled(Reply::new(202, Body::None), Some(&held));
        standalone.put(held).await.map_err(|error| Reply::text(500, error))?;
        let (who, address) = (call.who, call.address);
        (self.tell)(Note::Changed { who, address, what: "PUT", key: "configs", revision: 0 });
        Ok(reply)
    }
}

/// A place among those who may send a whole configuration now.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    pub(super) fn take(taken: &'a AtomicUsize) -> Option<Self> {
        let one_more = |taken| (taken < CONFIGS_MAX).then_some(taken + 1);
        let update = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        update.is_ok().then_some(Self(taken))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A whole number as one, since that is how clients wrote it.
fn json_number(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if whole { json!(number as i64) } else { json!(number) }
}

fn text<'c>(call: &'c Call<'_>, name: &str) -> Option<&'c str> {
    call.fields.get(name).and_then(|value| value.to_str().ok())
}

fn labelled(reply: Reply, held: Option<&Held>) -> Reply {
    let Some(held) = held else { return reply };
    reply.with("x-last-modified", held.modified.to_string()).with("x-digest", &*held.digest)
}

fn show(call: &Call<'_>, held: Option<&Held>) -> Reply {
    let body = match held {
        Some(held) => {
            let mut body = held.config.clone();
            body.insert(LAST_MODIFIED.to_owned(), held.modified.into());
            body.insert(DIGEST.to_owned(), held.digest.as_str().into());
            body
        }
        None => COLLECTIONS.iter().map(|name| (version_key(name), 0.into())).collect(),
    };
    let wants_yaml =
        text(call, "accept").is_some_and(|kinds| kinds.starts_with("application/yaml"));
    // JSON is YAML.
    let kind = if wants_yaml { "application/yaml" } else { "application/json" };
    let reply = Reply::text(200, Value::Object(body).to_string()).with("content-type", kind);
    labelled(reply, held)
}
