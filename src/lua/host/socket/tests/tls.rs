//! Handshakes.

use super::*;
use crate::upstream::connect::tests::{CA, CLIENT, CLIENT_KEY, tls_node};

/// A file with our test authority; removed by the caller.
fn authority(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("moongate-ca-{name}-{}", std::process::id()));
    std::fs::write(&path, CA).unwrap();
    path
}

#[test]
fn certificates_are_checked_if_asked_for() {
    worker(async {
        let path = authority("verify");
        let local = serde_json::json!({"apisix": {"ssl": {"ssl_trusted_certificate": path}}});
        let bench = Bench::with(local).await;
        let port = tls_node(false, 1).await.port();
        let shake = |host: &str, args: &str| {
            format!(
                "local s = ngx.socket.tcp() s:settimeout(2000) assert(s:connect('{host}', {port})) \
                 local r = show(s:sslhandshake({args})) s:send('hello') \
                 return r .. '#' .. show(s:receive(5))"
            )
        };
        bench.check(shake("127.0.0.1", "nil, 'node.test', true"), "true#hello").await;
        bench.check(shake("127.0.0.1", "false"), "true#hello").await;
        bench.check(shake("127.0.0.1", "nil, nil, false"), "true#hello").await;
        bench.check(shake("node.test", "nil, nil, true"), "true#hello").await;
        let mismatch = "nil|certificate host mismatch#nil|closed";
        bench.check(shake("node.test", "nil, 'other.test', true"), mismatch).await;
        std::fs::remove_file(path).unwrap();
        let strange = Bench::new().await;
        let unknown = "nil|20: unable to get local issuer certificate#nil|closed";
        strange.check(shake("127.0.0.1", "nil, 'node.test', true"), unknown).await;
        let plain = server(scripted).await;
        let code = format!(
            "local s = ngx.socket.tcp() s:settimeout(60) assert(s:connect('127.0.0.1', {plain})) \
             local r = show(s:sslhandshake()) return r"
        );
        let found = strange.run(&code).await;
        assert!(found.starts_with("nil|"), "{found}");
    });
}

#[test]
fn a_client_certificate_is_shown() {
    worker(async {
        let bench = Bench::new().await;
        let port = tls_node(true, 1).await.port();
        let code = format!(
            "local ssl = require('ngx.ssl') \
             local cert = assert(ssl.parse_pem_cert([[{CLIENT}]])) \
             local key = assert(ssl.parse_pem_priv_key([[{CLIENT_KEY}]])) \
             local s = ngx.socket.tcp() s:settimeout(2000) assert(s:connect('127.0.0.1', {port})) \
             local r = show(s:setclientcert(cert, key)) .. show(s:sslhandshake(nil, 'node.test')) \
             s:send('mine') r = r .. show(s:receive(4)) \
             return r .. show(s:setclientcert(cert)) .. show(ssl.parse_pem_cert('no'))"
        );
        let expected = "1truemine\
             nil|client certificate must be supplied with corresponding private key\
             nil|PEM_read_bio_X509_AUX() failed";
        bench.check(code, expected).await;
        let code = format!(
            "local s = ngx.socket.tcp() s:settimeout(2000) assert(s:connect('127.0.0.1', {port})) \
             return show(s:tlshandshake({{ server_name = 'node.test', client_cert = 'x', \
             client_priv_key = 'y' }}))"
        );
        let found = bench.run(&code).await;
        assert!(found.starts_with("nil|client_cert"), "{found}");
    });
}

#[test]
fn a_pooled_tls_connection_needs_no_second_handshake() {
    worker(async {
        let bench = Bench::new().await;
        let port = tls_node(false, 100).await.port();
        let code = format!(
            "local r = {{}} for i = 1, 2 do local s = ngx.socket.tcp() s:settimeout(2000) \
             assert(s:connect('127.0.0.1', {port}, {{ pool = 'tls' }})) \
             r[i] = show(s:getreusedtimes(), s:sslhandshake(nil, 'node.test')) \
             s:send('hello') assert(s:receive(5) == 'hello') assert(s:setkeepalive(1000)) end \
             return r[1] .. '#' .. r[2]"
        );
        bench.check(code, "0|true#1|true").await;
    });
}
