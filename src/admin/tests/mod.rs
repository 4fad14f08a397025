//! The Admin API as clients see it, with a store in memory and a judge that knows a few plugins.

mod fakes;
mod hostile;

mod keys;
mod objects;
mod port;
mod table;
mod transfer;
mod whole;

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use self::fakes::{FakeJudge, Memory};
use super::{Admin, BodyError, Note, Settings};

const ADMIN_KEY: &str = "edd1c9f034335f136f87ad84b625c8f1";
const VIEWER_KEY: &str = "4054f7cf07e344346cd3f287985e76a2";

/// Waits for what never really waits: all fakes answer at once.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a fake waits"),
    }
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
    fields: http::HeaderMap,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn is(&self, status: u16, body: &Value) -> &Self {
        assert_eq!((self.status, &self.json()), (status, body));
        self
    }

    #[track_caller]
    fn status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// An Admin API with its fakes.
struct Bench {
    admin: Admin,
    store: Arc<Memory>,
    notes: Arc<Mutex<Vec<String>>>,
}

fn config() -> Value {
    json!({
        "apisix": {
            "proxy_mode": "http&stream",
            "data_encryption": {"keyring": ["qeddd145sfvddff3", "edd1c9f0985e76a2"]},
        },
        "deployment": {"admin": {
            "admin_key": [
                {"name": "admin", "key": ADMIN_KEY, "role": "admin"},
                {"name": "viewer", "key": VIEWER_KEY, "role": "viewer"},
            ],
            "enable_admin_cors": true,
            "allow_admin": ["127.0.0.0/24"],
            "admin_api_version": "v3",
        }},
    })
}

impl Bench {
    fn new() -> Self {
        Self::with(&config())
    }

    fn with(config: &Value) -> Self {
        let store = Arc::new(Memory::default());
        let notes = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notes);
        let tell = Box::new(move |note: Note<'_>| told.lock().unwrap().push(format!("{note:?}")));
        let settings = Settings::read(config).unwrap();
        let admin =
            Admin::new(Arc::<Memory>::clone(&store), Arc::new(FakeJudge::new()), settings, tell);
        Self { admin, store, notes }
    }

    /// Sends a request; the path is below `/apisix/admin`, the key that of the administrator.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/apisix/admin{path}"), &[("x-api-key", ADMIN_KEY)], text)
    }

    fn send(
        &self,
        method: &str,
        uri: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_from(IpAddr::V4(Ipv4Addr::LOCALHOST), (method, uri), fields, body)
    }

    fn send_from(
        &self,
        address: IpAddr,
        (method, uri): (&str, &str),
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let body = body.into();
        let read = async move |bytes_max: usize| {
            let length = body.len();
            if length > bytes_max { Err(BodyError::TooLarge(length as u64)) } else { Ok(body) }
        };
        let response = now(self.admin.serve(address, &parts, read));
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            text: String::from_utf8(body.to_vec()).unwrap(),
            fields: parts.headers,
        }
    }
}
