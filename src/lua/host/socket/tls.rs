//! `sslhandshake` on a connection that is open already.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
};

use tokio::time::timeout;
use tokio_rustls::{
    TlsStream,
    rustls::{CertificateError, Error as TlsError},
};

use super::{
    failure,
    handles::tcp_of,
    tcp::{Busy, Doing, Open},
    wait,
};
use crate::{
    lua::{
        core::Core,
        host::{ONE, push_failure},
        raw::{
            co::Value,
            frame::{Called, Frame},
        },
    },
    sys::conn::{Conn, Io},
    upstream::tls::{BadTls, TlsClient, TlsOptions, server_name},
};

/// Certificate chain and private key, PEM.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Identities that a worker keeps ready.
const CLIENTS_MAX: usize = 256;

type Key = (bool, Option<Rc<Identity>>);

/// One TLS client per way to shake hands.
#[derive(Default)]
pub(super) struct Clients(RefCell<HashMap<Key, TlsClient>>);

impl Clients {
    pub(super) fn client(
        &self,
        core: &Core,
        verify: bool,
        identity: Option<Rc<Identity>>,
    ) -> Result<TlsClient, String> {
        let key = (verify, identity);
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(known.clone());
        }
        let client = make(core, verify, key.1.as_deref())?;
        let mut clients = self.0.borrow_mut();
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn make(core: &Core, verify: bool, identity: Option<&Identity>) -> Result<TlsClient, String> {
    let client = identity.map(|identity| (&*identity.chain, &*identity.key));
    let told = |error: BadTls| error.to_string();
    if !verify {
        let options = TlsOptions { client, ..TlsOptions::default() };
        return TlsClient::new(&options).map_err(told);
    }
    let local = core.env.local.borrow();
    let path = local.pointer("/apisix/ssl/ssl_trusted_certificate").and_then(|path| path.as_str());
    let roots = path.filter(|path| *path != "system");
    let roots = roots.map(|path| core.env.settings.prefix.join(path));
    TlsClient::trusting(roots.as_deref(), client).map_err(told)
}

/// `(handle, server_name, verify)` -> true | nil, error.
pub(super) fn handshake(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let core = frame.core()?;
    let verify = frame.truth(3);
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Reading, Doing::Writing]) {
        return push_failure(frame, busy);
    }
    let Some(conn) = tcp.conn() else { return push_failure(frame, "closed") };
    if conn.tls(|_| ()).is_some() {
        // Out of the pool: the handshake is done.
        frame.push_bool(true);
        return ONE;
    }
    let Some(addr) = conn.peer_addr() else {
        return push_failure(
            frame,
            "TLS over a unix domain socket is not supported by moongate: handshakes are made over TCP",
        );
    };
    if tcp.has_unread() {
        return push_failure(frame, "unread data in buffer");
    }
    let name = match frame.str(2) {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        // Nothing to check against but the name that was connected to.
        None if verify => {
            tcp.open.borrow().as_ref().map(|open| open.host.to_string()).unwrap_or_default()
        }
        None => String::new(),
    };
    // An address that is never sent: a name that is none goes without SNI.
    let ip = if name.is_empty() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { addr.ip() };
    let name = server_name(&name, ip);
    let identity = tcp.identity.borrow().clone();
    let client = match core.env.network.tls.client(core, verify, identity) {
        Ok(client) => client,
        Err(error) => return push_failure(frame, &error),
    };
    drop(conn);
    let Some(open) = tcp.open.borrow_mut().take() else { return push_failure(frame, "closed") };
    let busy = Busy::new(&tcp, Doing::Connecting);
    wait(frame, async move {
        let Open { conn, pool, pool_size, backlog, permit, reused, host } = open;
        let Some(conn) = Rc::into_inner(conn) else { return failure("socket busy") };
        let Io::Tcp(stream) = conn.into_io() else { return failure("not a TCP connection") };
        let limit = tcp.timeouts.get().connect;
        let values = match timeout(limit, client.connector().connect(name, stream)).await {
            Err(_) => failure("timeout"),
            Ok(Err(error)) => failure(why(&error)),
            Ok(Ok(stream)) => {
                let stream = Io::Tls(Box::new(TlsStream::Client(stream)));
                let conn = Rc::new(Conn::new(stream, Some(addr)));
                tcp.start(Open { conn, pool, pool_size, backlog, permit, reused, host });
                vec![Value::Bool(true)]
            }
        };
        drop(busy);
        values
    })
}

/// A failed handshake, numbered as OpenSSL numbers it.
fn why(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    // OpenSSL tells no more of a connection that breaks.
    let Some(cause) = cause else { return "handshake failed".to_owned() };
    match cause {
        TlsError::InvalidCertificate(reason) => match reason {
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "9: certificate is not yet valid".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "10: certificate has expired".to_owned()
            }
            CertificateError::UnknownIssuer => {
                "20: unable to get local issuer certificate".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "certificate host mismatch".to_owned()
            }
            other => format!("handshake failed: {other}"),
        },
        other => format!("handshake failed: {other}"),
    }
}
