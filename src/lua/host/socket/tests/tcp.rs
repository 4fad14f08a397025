//! Sending, receiving, and everything that goes wrong on a TCP socket.

use super::*;

const OPEN: &str = "local s = ngx.socket.tcp() s:settimeouts(1000, 1000, 1000) \
     assert(s:connect('127.0.0.1', port)) ";

fn on(port: u16, code: &str) -> String {
    format!("local port = {port} {OPEN} {code}")
}

#[test]
fn everything_sendable_is_echoed() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(echo).await;
        let code = on(
            port,
            "local sent = show(s:send('ab'), s:send(1.5), s:send({'c', {'d', 2}, true}), s:send('')) \
             return sent .. '#' .. show(s:receive(2)) .. show(s:receive(3)) .. show(s:receive(7))",
        );
        bench.check(code, "2|3|7|0#ab1.5cd2true").await;
        let code = on(
            port,
            "local big = string.rep('0123456789', 400000) \
             local t = ngx.thread.spawn(function() return s:send(big) end) \
             local back = s:receive(#big) local _, n = ngx.thread.wait(t) \
             return show(back == big, n)",
        );
        bench.check(code, "true|4000000").await;
        let code = on(port, "return show(pcall(s.send, s, {function() end}))");
        assert!(bench.run(&code).await.contains("bad data type function found"));
    });
}

#[test]
fn patterns_sizes_and_partial_results() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(scripted).await;
        let code = on(
            port,
            "s:send('3 1 one\\\\r\\\\ntwo\\\\nthree\\n') \
             local r = show(s:receive()) .. show(s:receive('*l')) .. show(s:receive(2)) \
             s:settimeout(30) r = r .. '#' .. show(s:receive('*l')) \
             s:settimeout(1000) s:send('100 0 rest\\n') r = r .. '#' .. show(s:receiveany(100)) \
             s:send('9 0 tail\\nclose\\n') r = r .. '#' .. show(s:receive('*a')) \
             return r .. '#' .. show(s:receive(1)) .. '#' .. show(s:receive('*a'))",
        );
        bench.check(code, "onetwoth#nil|timeout|ree#rest#tail#nil|closed|#nil|closed").await;
        let code = on(port, "s:send('9 0 abc\\nclose\\n') return show(s:receive(5))");
        bench.check(code, "nil|closed|abc").await;
        let code = on(port, "return show(s:receive(0), pcall(s.receive, s, '*x'))");
        let found = bench.run(&code).await;
        assert!(found.starts_with("|false|") && found.contains("bad pattern argument"), "{found}");
    });
}

#[test]
fn receiveuntil_stops_at_its_pattern() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(scripted).await;
        let text = "hello, world! -agentzh\\\\r\\\\n--abcedhb";
        let code = on(
            port,
            &format!(
                "s:send('5 1 {text}after\\n') local reader = s:receiveuntil('\\r\\n--abcedhb') \
                 local r = {{}} while true do local data, err = reader(4) \
                 if not data then r[#r + 1] = show(err) break end r[#r + 1] = data end \
                 return table.concat(r, ',') .. '#' .. s:receive(5)"
            ),
        );
        bench.check(code, "hell,o, w,orld,! -a,gent,zh,nil#after").await;
        let code = on(
            port,
            "s:send('2 1 a--b--c\\nclose\\n') local reader = s:receiveuntil('--') \
             local r = show(reader()) .. show(reader()) return r .. '#' .. show(reader())",
        );
        bench.check(code, "ab#nil|closed|c").await;
        let code = on(
            port,
            "s:send('2 1 a--b\\n') local reader = s:receiveuntil('--', { inclusive = true }) \
             return show(reader())",
        );
        bench.check(code, "a--").await;
    });
}

#[test]
fn errors_have_openrestys_words() {
    worker(async {
        let bench = Bench::new().await;
        let dead = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let connect = |what: &str| {
            format!("local s = ngx.socket.tcp() s:settimeout(2000) return show(s:connect({what}))")
        };
        bench.check(connect(&format!("'127.0.0.1', {dead}")), "nil|connection refused").await;
        bench.check(connect(&format!("'node.test', {dead}")), "nil|connection refused").await;
        bench.check(connect("'127.0.0.1', 70000"), "nil|bad port number: 70000").await;
        bench.check(connect("'127.0.0.1'"), "nil|missing the port number").await;
        bench.check(connect("'unix:/nonexistent/sock'"), "nil|no such file or directory").await;
        let found = bench.run(&connect("'no-such-host.test', 80")).await;
        assert!(found.starts_with("nil|no-such-host.test could not be resolved ("), "{found}");
        let code = "local s = ngx.socket.tcp() return show(s:send('x')) .. show(s:receive()) \
                    .. show(s:setkeepalive()) .. show(s:close()) .. show(s:getreusedtimes()) \
                    .. show(s:sslhandshake())";
        bench.check(code.to_owned(), &"nil|closed".repeat(6)).await;
        let found = bench.run("ngx.socket.tcp():settimeout(-1)").await;
        assert!(found.contains("bad timeout value"), "{found}");
    });
}

#[test]
fn one_reader_at_a_time() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(scripted).await;
        let code = on(
            port,
            "local t = ngx.thread.spawn(function() return s:receive() end) \
             local r = show(s:receive()) .. '#' .. show(s:setkeepalive()) .. '#' .. show(s:close()) \
             .. '#' .. show(s:connect('127.0.0.1', port)) .. '#' \
             s:send('9 0 done\\\\n\\n') return r .. show(ngx.thread.wait(t))",
        );
        let busy = "nil|socket busy reading#";
        bench.check(code, &format!("{}true|done", busy.repeat(4))).await;
        let code = on(
            port,
            "local t = ngx.thread.spawn(function() return s:receive() end) ngx.thread.kill(t) \
             ngx.sleep(0) s:send('9 0 mine\\\\n\\n') return show(s:receive())",
        );
        bench.check(code, "mine").await;
    });
}

#[test]
fn a_peer_that_takes_nothing_times_out_the_send() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(|stream| async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            drop(stream);
        })
        .await;
        let code = on(
            port,
            "s:settimeout(50) local big = string.rep('x', 30000000) \
             return show(s:send(big)) .. '#' .. show(s:send('x'))",
        );
        bench.check(code, "nil|timeout#nil|closed").await;
    });
}

#[test]
fn sockets_end_with_the_run_that_opened_them() {
    worker(async {
        let bench = Bench::new().await;
        let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let port = server(move |mut stream| {
            let told = told.clone();
            async move {
                let mut byte = [0];
                told.send(stream.read(&mut byte).await.unwrap()).unwrap();
            }
        })
        .await;
        bench.check(on(port, "kept = s return show(s:settimeout(100))"), "").await;
        assert_eq!(ended.recv().await, Some(0));
        bench.check("return show(kept:send('x'))".to_owned(), "nil|closed").await;
        // A run that ends by an error, or by ngx.exit with a thread still reading, too.
        assert!(bench.run(&on(port, "error('stop')")).await.contains("stop"));
        assert_eq!(ended.recv().await, Some(0));
        let code = "ngx.thread.spawn(function() return s:receive() end) ngx.exit(444)";
        bench.check(on(port, code), "exit 444").await;
        assert_eq!(ended.recv().await, Some(0));
    });
}

#[test]
fn collected_objects_give_their_place_back() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(echo).await;
        let code = format!(
            "for i = 1, 500 do local s = ngx.socket.tcp() \
             if i % 10 == 0 then assert(s:connect('127.0.0.1', {port})) end end \
             collectgarbage() collectgarbage() return ''"
        );
        bench.run(&code).await;
        let left = bench.vm.core.sockets().len();
        assert!(left <= 1, "{left} are left");
        bench.check(on(port, "local old = s[1] s:send('a') return show(s:receive(1))"), "a").await;
    });
}

#[test]
fn unix_sockets_and_options_work() {
    worker(async {
        let bench = Bench::new().await;
        let path = std::env::temp_dir().join(format!("moongate-cosocket-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let code = format!(
            "local s = ngx.socket.tcp() assert(s:connect('unix:{}')) s:send('hi') \
             return show(s:receive(2)) .. '#' .. show(s:sslhandshake())",
            path.display()
        );
        bench.check(code, "hi#nil|TLS over a unix domain socket is not supported by moongate: handshakes are made over TCP").await;
        std::fs::remove_file(&path).unwrap();
        let port = server(echo).await;
        let code = on(
            port,
            "return show(s:setoption('tcp-nodelay', false)) .. show(s:getoption('tcp-nodelay')) \
             .. show(s:setoption('keepalive', true)) .. show(s:getoption('keepalive')) \
             .. show(s:setoption('color', 1)) .. show(s:bind('127.0.0.1')) \
             .. show(s:connect('127.0.0.1', port))",
        );
        bench.check(code, "true0true1nil|unsupported option color11").await;
    });
}

#[test]
fn plugins_own_coroutines_may_wait() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(scripted).await;
        let code = on(
            port,
            "local lines = coroutine.wrap(function() \
               for i = 1, 2 do s:send('2 1 line' .. i .. '\\\\n\\n') coroutine.yield(s:receive()) end end) \
             return lines() .. lines()",
        );
        bench.check(code, "line1line2").await;
    });
}
