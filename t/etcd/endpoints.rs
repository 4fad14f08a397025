//! Several endpoints, and TLS.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{
    seen::{Tried, options},
    server::{Folder, Proxy, Server, eventually, free_port},
};

#[test]
fn a_member_that_dies_is_replaced_by_another() {
    let folder = Folder::new("members");
    let mut servers = Server::cluster(&folder.0, 3);
    let proxies: Vec<Proxy> = servers.iter().map(|server| Proxy::new(server.port)).collect();
    let urls: Vec<String> = proxies.iter().map(Proxy::url).collect();
    let tried = Tried::ready(options(&urls), None);
    tried.put("routes/1", "{}").unwrap();
    tried.until("the change", |seen| seen.content.len() == 1);
    for round in 2..4 {
        let at = proxies.iter().position(|proxy| proxy.takes()).unwrap();
        servers[at].kill();
        let other = &servers[(at + 1) % 3];
        eventually("the others have a leader", || {
            other.run(&["put", &format!("/apisix/routes/{round}"), "{}"]).is_some()
        });
        tried.until("the change", |seen| seen.content.len() == round);
        tried.until("nothing is lost", |seen| seen.lost.is_none());
        eventually("it can be written again", || tried.put("routes/1", "{}").is_ok());
        servers[at].start();
        if round == 2 {
            // To have it choose again.
            for proxy in &proxies {
                proxy.cut();
            }
            tried.until("all are lost", |seen| seen.lost.is_some());
            proxies.iter().for_each(Proxy::pass);
            tried.until("one is found", |seen| seen.lost.is_none());
        }
    }
    assert_eq!(tried.seen.lock().unwrap().alls(), 1, "it is one etcd");
}

#[test]
fn a_dead_and_a_silent_endpoint_cost_a_moment() {
    let folder = Folder::new("dead");
    let server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    let hole = Proxy::new(server.port);
    hole.black_hole();
    let dead = format!("http://127.0.0.1:{}", free_port());
    for _ in 0..3 {
        // Which one is first is up to chance.
        let mut options = options(&[dead.clone(), hole.url(), server.url()]);
        options.timeout = Duration::from_secs(40);
        options.health_check_timeout = Duration::from_secs(40);
        let begun = Instant::now();
        Tried::ready(options, None);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

#[test]
fn an_endpoint_that_is_no_etcd_is_told() {
    let folder = Folder::new("none");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut client in other.incoming().flatten() {
            let _ = client.read(&mut [0; 100]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        }
    });
    let url = format!("http://127.0.0.1:{port}");
    let tried = Tried::new(options(std::slice::from_ref(&url)), Some(folder.0.join("none")));
    tried.until("it is told", |seen| seen.lost.is_some());
    let why = tried.seen.lock().unwrap().lost.clone().unwrap();
    assert!(why.contains(&url) && why.contains("there is no snapshot"), "{why}");
}

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    let output = output.expect("needs openssl");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and certificates of a server and a client.
fn certificates(folder: &Path) {
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {new} -keyout ca.key -out ca.pem -subj /CN=ca"));
    for (name, extra) in [
        (
            "server",
            "subjectAltName=DNS:etcd.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth",
        ),
        ("client", "extendedKeyUsage=clientAuth"),
    ] {
        fs::write(folder.join(format!("{name}.ext")), extra).unwrap();
        let request = new.replace(" -days 2", "");
        openssl(
            folder,
            &format!("req {request} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -out {name}.pem -extfile {name}.ext"
            ),
        );
    }
}

fn connector(folder: &Path, with_certificate: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = if with_certificate {
        let chain = vec![CertificateDer::from_pem_file(folder.join("client.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[test]
fn tls_with_a_certificate_of_our_own() {
    let folder = Folder::new("tls");
    certificates(&folder.0);
    let server = Server::with_tls(&folder.0, &folder.0);
    let with = |certificate: bool, sni: &str| {
        let mut options = options(&[server.url()]);
        options.tls = Some(connector(&folder.0, certificate));
        options.sni = Some(sni.to_owned());
        options
    };
    let tried = Tried::new(with(true, "etcd.test"), None);
    tried.until("a listing", |seen| seen.alls() == 1 && seen.lost.is_none());
    tried.put("routes/1", "{}").unwrap();
    tried.until("the change", |seen| seen.content.len() == 1);
    for (certificate, sni, why) in
        [(true, "other.test", "certificate"), (false, "etcd.test", "ertificate")]
    {
        let refused = Tried::new(with(certificate, sni), None);
        refused.until(sni, |seen| seen.lost.as_ref().is_some_and(|lost| lost.contains(why)));
        assert_eq!(refused.seen.lock().unwrap().alls(), 0);
    }
    let mut without = options(&[server.url()]);
    without.startup_retry = 1;
    let refused = Tried::new(without, None);
    refused.until("it is told", |seen| seen.lost.is_some());
}
