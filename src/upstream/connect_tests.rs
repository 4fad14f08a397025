//! Tests of [`super`].

use std::{net::Ipv4Addr, rc::Rc, sync::Arc, time::Instant};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use super::*;
use crate::upstream::tls::{TlsOptions, Trust};

const SOON: Duration = Duration::from_secs(5);

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A node for `node.test` that wants our certificate if `mutual`, offers h2, and echoes.
/// It closes after `echoes` answers.
pub(crate) async fn tls_node(mutual: bool, echoes: usize) -> SocketAddr {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(CA)).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(NODE_KEY.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate(NODE)], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut buf = vec![0; 16 * 1024];
                for _ in 0..echoes {
                    let Ok(read @ 1..) = tls.read(&mut buf).await else { break };
                    if tls.write_all(&buf[..read]).await.is_err() || tls.flush().await.is_err() {
                        break;
                    }
                }
                let _ = tls.shutdown().await;
            });
        }
    });
    addr
}

fn client(options: &TlsOptions<'_>) -> TlsClient {
    TlsClient::new(options).unwrap()
}

async fn echo(conn: &Conn, data: &[u8]) -> Vec<u8> {
    let mut buf = BytesMut::new();
    let write = async {
        conn.write_all(data).await.unwrap();
    };
    let read =
        async { while buf.len() < data.len() && conn.read_buf(&mut buf).await.unwrap() > 0 {} };
    tokio::join!(write, read);
    buf.to_vec()
}

#[track_caller]
fn check_refused(result: Result<Conn>, addr: SocketAddr) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), &Kind::Connect { node: addr.to_string() });
    assert!(std::error::Error::source(&error).is_some());
    assert!(error.retryable());
}

#[tokio::test]
async fn tcp_reaches_v4_and_v6() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(host).await else { continue };
        let addr = listener.local_addr().unwrap();
        let conn = tcp(addr, SOON).await.unwrap();
        assert_eq!(conn.peer_addr(), Some(addr));
        let Io::Tcp(stream) = conn.into_io() else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
    }
}

#[tokio::test]
async fn a_refusal_names_the_node_and_keeps_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    check_refused(tcp(addr, SOON).await, addr);
    check_refused(tls(addr, &client(&TlsOptions::default()), "a", SOON).await, addr);
}

#[tokio::test]
async fn a_node_that_does_not_take_the_connection_times_out() {
    // One place in the queue; the kernel drops what comes after it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let started = Instant::now();
    let error = loop {
        match tcp(addr, Duration::from_millis(100)).await {
            Ok(conn) => held.push(conn),
            Err(error) => break error,
        }
        assert!(held.len() < 20, "the queue never fills");
    };
    let node = addr.to_string();
    assert_eq!(error.kind(), &Kind::UpstreamTimeout { what: "connect", node });
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_node_that_is_silent_in_the_handshake_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let client = client(&TlsOptions::default());
    let error = tls(addr, &client, "node.test", Duration::from_millis(50)).await.unwrap_err();
    let node = addr.to_string();
    assert_eq!(error.kind(), &Kind::UpstreamTimeout { what: "connect", node });
}

#[tokio::test]
async fn unix_sockets_connect_and_refuse() {
    let dir = std::env::temp_dir().join(format!("moongate-unix-{}", std::process::id()));
    let _ = std::fs::remove_file(&dir);
    let listener = UnixListener::bind(&dir).unwrap();
    assert!(unix(&dir, SOON).await.is_ok());
    drop(listener);
    std::fs::remove_file(&dir).unwrap();
    let error = unix(&dir, SOON).await.unwrap_err();
    assert_eq!(error.kind(), &Kind::Connect { node: format!("unix:{}", dir.display()) });
}

#[tokio::test]
async fn without_verification_any_certificate_will_do() {
    let addr = tls_node(false, 100).await;
    let client = TlsClient::default_client().unwrap();
    for name in ["node.test", "other.test", "127.0.0.1", "[::1]", "no_dns name!", ""] {
        let conn = tls(addr, client, name, SOON).await.unwrap();
        assert_eq!(echo(&conn, b"hello").await, b"hello", "{name}");
        assert_eq!(conn.tls(|session| session.alpn_protocol().map(<[u8]>::to_vec)), Some(None));
        assert_eq!(conn.tls_server_name(), None);
    }
}

#[tokio::test]
async fn with_verification_authority_and_name_must_match() {
    let addr = tls_node(false, 1).await;
    let ours = client(&TlsOptions { trust: Trust::Roots(CA), ..TlsOptions::default() });
    assert!(tls(addr, &ours, "node.test", SOON).await.is_ok());
    assert!(tls(addr, &ours, "127.0.0.1", SOON).await.is_ok());
    check_refused(tls(addr, &ours, "other.test", SOON).await, addr);
    let public = client(&TlsOptions { trust: Trust::PublicRoots, ..TlsOptions::default() });
    check_refused(tls(addr, &public, "node.test", SOON).await, addr);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks() {
    let addr = tls_node(true, 1).await;
    let ours = client(&TlsOptions { client: Some((CLIENT, CLIENT_KEY)), ..TlsOptions::default() });
    let conn = tls(addr, &ours, "node.test", SOON).await.unwrap();
    assert_eq!(echo(&conn, b"mine").await, b"mine");
    // TLS 1.3: the refusal comes after our side of the handshake, with the first read.
    let without = client(&TlsOptions::default());
    let conn = tls(addr, &without, "node.test", SOON).await.unwrap();
    let _ = conn.write_all(b"x").await;
    assert!(conn.read_buf(&mut BytesMut::new()).await.is_err());
}

#[tokio::test]
async fn protocols_are_negotiated() {
    let addr = tls_node(false, 1).await;
    let h2 = client(&TlsOptions { alpn: &[b"h2"], ..TlsOptions::default() });
    let conn = tls(addr, &h2, "node.test", SOON).await.unwrap();
    let agreed = conn.tls(|session| session.alpn_protocol().map(<[u8]>::to_vec)).unwrap();
    assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn tls_carries_both_directions_at_once() {
    let addr = tls_node(false, usize::MAX).await;
    let conn = tls(addr, TlsClient::default_client().unwrap(), "node.test", SOON).await.unwrap();
    let conn = Rc::new(conn);
    // More than all buffers on the way hold: it hangs unless reading goes on meanwhile.
    let data: Vec<u8> = (0..4 << 20).map(|at: u32| at.to_le_bytes()[0]).collect();
    let echoed = timeout(Duration::from_secs(20), echo(&conn, &data)).await.unwrap();
    assert!(echoed == data);
}

#[tokio::test]
async fn an_idle_tls_connection_is_alive_until_the_node_closes() {
    let addr = tls_node(false, 2).await;
    let conn = tls(addr, TlsClient::default_client().unwrap(), "node.test", SOON).await.unwrap();
    // Session tickets may come now: they are not an answer.
    sleep(Duration::from_millis(50)).await;
    assert!(conn.is_alive());
    assert_eq!(echo(&conn, b"one").await, b"one");
    sleep(Duration::from_millis(50)).await;
    assert!(conn.is_alive() && conn.is_alive());
    assert_eq!(echo(&conn, b"two").await, b"two");
    sleep(Duration::from_millis(50)).await;
    assert!(!conn.is_alive());
    conn.goodbye();
}

#[test]
fn a_wrong_pem_text_is_refused_with_its_name() {
    let refused = |options: TlsOptions<'_>| TlsClient::new(&options).unwrap_err().to_string();
    let with =
        |chain, key| refused(TlsOptions { client: Some((chain, key)), ..Default::default() });
    assert_eq!(with("", CLIENT_KEY), "client_cert: no certificate in the PEM text");
    assert!(with(CLIENT, "nonsense").starts_with("client_key: "));
    assert!(with(CLIENT, NODE_KEY).starts_with("client_cert and client_key: "));
    let roots = refused(TlsOptions { trust: Trust::Roots("x"), ..Default::default() });
    assert_eq!(roots, "trusted certificates: no certificate in the PEM text");
}

#[test]
fn clients_are_told_apart_and_names_that_are_none_go_without_sni() {
    let (one, two) = (client(&TlsOptions::default()), client(&TlsOptions::default()));
    assert_ne!(one.id(), two.id());
    assert_eq!(one.id(), one.clone().id());
    let addr = Ipv4Addr::LOCALHOST.into();
    assert!(matches!(server_name("svc_a.ns", addr), ServerName::DnsName(_)));
    assert!(matches!(server_name("a b", addr), ServerName::IpAddress(_)));
    assert!(matches!(server_name("[::1]", addr), ServerName::IpAddress(ip) if ip != addr.into()));
}

pub(crate) const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUZ/3HfM35OM9/1Sta51BqSjq52VMwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjIxNjU2MzZaGA8yMTI2MTAyOTE2
NTYzNlowEjEQMA4GA1UEAwwHdGVzdCBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABAZ4+dLVEVHgSWrp0y5qWpNnb/QAq4EQ6/Vf+vwD19UzedI27bpaeDKS4JvL
SIuticu1Uwgrj7weIYviBQ1ZA1CjYzBhMB0GA1UdDgQWBBQfsRTlmkR/HueSw4b7
pc9tIdzx5TAfBgNVHSMEGDAWgBQfsRTlmkR/HueSw4b7pc9tIdzx5TAPBgNVHRMB
Af8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAKBggqhkjOPQQDAgNIADBFAiBEPkEI
Ps1eAq0SAI2hx1d0maHGP1TRJYkI2F+MoBlIwAIhAOHtxw4v/jVwpfpVHAYYTn7O
K9Du+qWAK60CqAInH0yn
-----END CERTIFICATE-----
";

const NODE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBqDCCAU6gAwIBAgIUQAIgPfL/ODQExwk0s+5Eqh9fVs0wCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjIxNjU2MzZaGA8yMTI2MTAyOTE2
NTYzNlowFDESMBAGA1UEAwwJbm9kZS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEopl+TAXggjiAn/l55iR3w4OyFOjaCaGhj7fxY5ln8/1JIUQFu4j2wQuh
FYiPYPEcb7nicY6rFx62j32iN90hu6N+MHwwGgYDVR0RBBMwEYIJbm9kZS50ZXN0
hwR/AAABMAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYE
FFruPKJm6FkwLXGokwX1+dtIk2NyMB8GA1UdIwQYMBaAFB+xFOWaRH8e55LDhvul
z20h3PHlMAoGCCqGSM49BAMCA0gAMEUCIQDb5XyWUj0/bow5u5n8RZ+IoB8q4gUY
rdZIlHdY6OZuMgIgIwRh5YbOOxFykE1qv3zwPQQEs9n+HjHhlN0p3SK+NNs=
-----END CERTIFICATE-----
";

const NODE_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7wUsOdyRpdxt/IpP
kjBIUL/kEPceOcLHZypKlnpCebKhRANCAASimX5MBeCCOICf+XnmJHfDg7IU6NoJ
oaGPt/FjmWfz/UkhRAW7iPbBC6EViI9g8RxvueJxjqsXHraPfaI33SG7
-----END PRIVATE KEY-----
";

pub(crate) const CLIENT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBizCCATCgAwIBAgIUO0mFZYiKlXHKQ3UaDAAID35YqbowCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjIxNjU2MzZaGA8yMTI2MTAyOTE2
NTYzNlowEjEQMA4GA1UEAwwHZ2F0ZXdheTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABNGnGC15dmhn/l1BW/sh1CCBBgjUPPZdcFD1hUbThUuv0rrr3tjXxH559Ap7
AxrWtKX89IxaB562kLzhcIeYAvyjYjBgMAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYI
KwYBBQUHAwIwHQYDVR0OBBYEFCSlr6qdMdc5Z+3ExQw2yF5mb+h5MB8GA1UdIwQY
MBaAFB+xFOWaRH8e55LDhvulz20h3PHlMAoGCCqGSM49BAMCA0kAMEYCIQDS117X
DXOC7x2GwM0yUM4GP0Tx8EJYvn9zt5Yl3W0ZUQIhAJSMZ1kOz7jARM9McDnB1GV6
p3xOzwJaJdOryfNgGhSb
-----END CERTIFICATE-----
";

pub(crate) const CLIENT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKFQa6SyJUY7TcZIU
XjPTXr7bfnJY04F+pUzbcgIs4muhRANCAATRpxgteXZoZ/5dQVv7IdQggQYI1Dz2
XXBQ9YVG04VLr9K6697Y18R+efQKewMa1rSl/PSMWgeetpC84XCHmAL8
-----END PRIVATE KEY-----
";
