//! Datagrams.

use tokio::net::UdpSocket;

use super::*;

#[test]
fn datagrams_go_and_come_back() {
    worker(async {
        let bench = Bench::new().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::task::spawn_local(async move {
            let mut buf = [0; 1024];
            while let Ok((size, from)) = socket.recv_from(&mut buf).await {
                if &buf[..size] != b"mute" {
                    let _ = socket.send_to(&buf[..size], from).await;
                }
            }
        });
        let code = format!(
            "local s = ngx.socket.udp() s:settimeout(60) \
             local r = show(s:send('x')) .. '#' .. show(s:setpeername('node.test', {port})) \
             r = r .. show(s:send({{'a', {{'b', 1}}}})) .. show(s:receive()) \
             s:send('12345') r = r .. '#' .. show(s:receive(3)) \
             s:send('mute') r = r .. '#' .. show(s:receive()) \
             return r .. '#' .. show(s:close()) .. show(s:close())"
        );
        bench.check(code, "nil|closed#11ab1#123#nil|timeout#1nil|closed").await;
        let code = "local s = ngx.socket.udp() s:settimeout(500) s:setpeername('127.0.0.1', 9) \
                    s:send('x') return show(s:receive())";
        bench.check(code.to_owned(), "nil|connection refused").await;
        let code = "local s = ngx.socket.udp() return show(s:setpeername('nowhere.test', 9))";
        let found = bench.run(code).await;
        assert!(found.starts_with("nil|nowhere.test could not be resolved"), "{found}");
    });
}

#[test]
fn unix_datagrams_are_sent() {
    worker(async {
        let bench = Bench::new().await;
        let path = std::env::temp_dir().join(format!("moongate-datagram-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let code = format!(
            "local s = ngx.socket.udp() return show(s:setpeername('unix:{}')) .. show(s:send('log'))",
            path.display()
        );
        bench.check(code, "11").await;
        let mut buf = [0; 16];
        assert_eq!(socket.recv(&mut buf).await.unwrap(), 3);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn names_become_records() {
    worker(async {
        let bench = Bench::new().await;
        let code = "local r = require('moongate.host').dns('node.test', 'A') \
                    return show(#r, r[1].address, r[1].type, r[1].name)";
        bench.check(code.to_owned(), "1|127.0.0.1|1|node.test").await;
        let dns = |args: &str| format!("return show(require('moongate.host').dns({args}))");
        bench.check(dns("'node.test', 'AAAA'"), "nil|empty record received").await;
        bench
            .check(dns("'node.test', 'SRV'"), "nil|DNS records of type SRV are not supported by moongate: its resolver asks for A and AAAA")
            .await;
        let found = bench.run(&dns("'nowhere.test'")).await;
        assert!(found.starts_with("nil|nowhere.test could not be resolved"), "{found}");
        let code = "return show(require('apisix.core').resolver.parse_domain('node.test'))";
        bench.check(code.to_owned(), "127.0.0.1").await;
    });
}
