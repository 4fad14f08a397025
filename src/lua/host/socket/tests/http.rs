//! `resty.http` against a server that answers as its path says.

use std::cell::Cell;

use super::*;

/// An HTTP/1.1 server. It answers whatever connection it is asked on.
async fn answer(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await {
        let length = |head: &str| {
            let line = head.lines().find(|line| line.starts_with("Content-Length: "))?;
            line.rsplit(' ').next()?.parse::<usize>().ok()
        };
        if head.contains("Expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        let body = read_exactly(&mut stream, length(&head).unwrap_or(0)).await;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let text = match path.split('?').next().unwrap_or_default() {
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 4;ext=1\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n"
                .to_owned(),
            "/none" => {
                "HTTP/1.1 204 No Content\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n".to_owned()
            }
            "/close" => "HTTP/1.1 200 OK\r\n\r\nuntil the end".to_owned(),
            "/short" => "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ntoo short".to_owned(),
            "/garbage" => "SSH-2.0-x\r\n\r\n".to_owned(),
            "/slow" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                String::new()
            }
            _ if line.starts_with("HEAD ") => {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()
            }
            _ => {
                let text = format!("{line}\n{body}\n{head}");
                format!(
                    "HTTP/1.1 200 Very Fine\r\nContent-Length: {}\r\nX-Mine: yes\r\n\r\n{text}",
                    text.len()
                )
            }
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        if matches!(path, "/close" | "/short") {
            return;
        }
    }
}

async fn counted() -> (u16, Rc<Cell<usize>>) {
    let made = Rc::new(Cell::new(0));
    let count = Rc::clone(&made);
    let port = server(move |stream| {
        count.set(count.get() + 1);
        answer(stream)
    })
    .await;
    (port, made)
}

fn ask(port: u16, path: &str, params: &str) -> String {
    format!(
        "local httpc = require('resty.http').new() httpc:set_timeout(500) \
         local res, err = httpc:request_uri('http://node.test:{port}{path}', {params}) \
         if not res then return 'nil|' .. tostring(err) end "
    )
}

#[test]
fn get_and_post_reuse_one_connection() {
    worker(async {
        let bench = Bench::new().await;
        let (port, made) = counted().await;
        let code = ask(port, "/a/b?x=1", "nil")
            + "return show(res.status, res.reason, res.headers['x-mine'], res.body)";
        let found = bench.run(&code).await;
        assert!(found.starts_with("200|Very Fine|yes|GET /a/b?x=1 HTTP/1.1\n\n"), "{found}");
        assert!(found.contains(&format!("Host: node.test:{port}\r\n")), "{found}");
        let code = ask(
            port,
            "/p",
            "{ method = 'POST', body = 'data=1', query = { q = 'a b' }, \
               headers = { ['Content-Type'] = 'text/x', Expect = '100-continue' } }",
        ) + "return res.body";
        let found = bench.run(&code).await;
        assert!(found.starts_with("POST /p?q=a%20b HTTP/1.1\ndata=1\n"), "{found}");
        assert!(found.contains("Content-Type: text/x\r\n"), "{found}");
        assert!(found.contains("Content-Length: 6\r\n"), "{found}");
        let code = ask(port, "/", "{ method = 'HEAD' }")
            + "return show(res.status, res.body, res.has_body)";
        bench.check(code, "200||false").await;
        let code = ask(port, "/none", "nil")
            + "return show(res.status, res.body, table.concat(res.headers['Set-Cookie'], ','))";
        bench.check(code, "204||a=1,b=2").await;
        assert_eq!(made.get(), 1);
        let code = ask(port, "/", "{ keepalive = false }") + "return show(res.status)";
        bench.check(code, "200").await;
        let code = ask(port, "/", "nil") + "return show(res.status)";
        bench.check(code, "200").await;
        assert_eq!(made.get(), 2);
    });
}

#[test]
fn bodies_are_read_however_they_are_framed() {
    worker(async {
        let bench = Bench::new().await;
        let (port, made) = counted().await;
        let code = ask(port, "/chunked", "nil")
            + "return show(res.status, res.body, res.headers['X-Sum'], res.has_body)";
        bench.check(code.clone(), "200|Wikipedia|9|true").await;
        bench.check(code, "200|Wikipedia|9|true").await;
        assert_eq!(made.get(), 1);
        let code = ask(port, "/close", "nil") + "return show(res.body)";
        bench.check(code, "until the end").await;
        let code = format!(
            "local httpc = require('resty.http').new() \
             assert(httpc:connect({{ scheme = 'http', host = '127.0.0.1', port = {port} }})) \
             local res = assert(httpc:request({{ path = '/chunked' }})) local parts = {{}} \
             repeat local chunk, err = res.body_reader(3) if err then return err end \
             parts[#parts + 1] = chunk until not chunk \
             return show(httpc:get_reused_times()) .. table.concat(parts, ',') \
             .. show(httpc:set_keepalive(1000, 5))"
        );
        bench.check(code, "0Wik,i,ped,ia1").await;
        let code = format!(
            "local httpc = require('resty.http').new() assert(httpc:connect('127.0.0.1', {port})) \
             local res = assert(httpc:request({{ path = '/close', method = 'GET' }})) \
             local body = res:read_body() return show(body, httpc:set_keepalive())"
        );
        bench.check(code, "until the end|2|connection must be closed").await;
    });
}

#[test]
fn what_goes_wrong_is_told() {
    worker(async {
        let bench = Bench::new().await;
        let (port, _) = counted().await;
        bench.check(ask(port, "/slow", "nil") + "return 'no'", "nil|timeout").await;
        bench.check(ask(port, "/short", "nil") + "return 'no'", "nil|closed").await;
        let found = bench.run(&(ask(port, "/garbage", "nil") + "return 'no'")).await;
        assert!(found.starts_with("nil|couldn't parse HTTP version"), "{found}");
        let dead = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        bench.check(ask(dead, "/", "nil") + "return 'no'", "nil|connection refused").await;
        let code = "local httpc = require('resty.http').new() \
             return show(httpc:request_uri('ftp://node.test/'))";
        bench.check(code.to_owned(), "nil|bad uri: ftp://node.test/").await;
    });
}

#[test]
fn https_keeps_its_connections_apart_by_name() {
    worker(async {
        let bench = Bench::new().await;
        let port = crate::upstream::connect::tests::tls_node(false, 100).await.port();
        // The node echoes: what comes back is the request itself, which is no answer.
        let code = format!(
            "local httpc = require('resty.http').new() httpc:set_timeout(2000) \
             local r = {{}} for i, name in ipairs({{ 'node.test', 'node.test', 'other.test' }}) do \
             assert(httpc:connect({{ scheme = 'https', host = '127.0.0.1', port = {port}, \
               ssl_verify = false, ssl_server_name = name }})) \
             r[i] = httpc:get_reused_times() httpc.sock:send('x') httpc.sock:receive(1) \
             httpc:set_keepalive() end return show(unpack(r))"
        );
        bench.check(code, "0|1|0").await;
        let code = format!(
            "local httpc = require('resty.http').new() httpc:set_timeout(2000) \
             return show(httpc:request_uri('https://node.test:{port}/'))"
        );
        bench.check(code, "nil|20: unable to get local issuer certificate").await;
    });
}
