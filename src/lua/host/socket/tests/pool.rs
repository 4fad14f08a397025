//! Connections that go to a pool and come back.

use std::cell::Cell;

use super::*;

fn client(port: u16) -> String {
    format!(
        "local function open(opts) local s = ngx.socket.tcp() s:settimeout(1000) \
         local ok, err = s:connect('127.0.0.1', {port}, opts) if not ok then return nil, err end \
         return s end "
    )
}

impl Bench {
    fn idle(&self, pool: &str) -> usize {
        self.vm.core.env.network.pools.find(pool.as_bytes()).map_or(0, |pool| pool.idle())
    }
}

#[test]
fn a_connection_comes_back_out_of_its_pool() {
    worker(async {
        let bench = Bench::new().await;
        let made = Rc::new(Cell::new(0));
        let count = Rc::clone(&made);
        let port = server(move |stream| {
            count.set(count.get() + 1);
            echo(stream)
        })
        .await;
        let code = format!(
            "{} local r = {{}} for i = 1, 3 do local s = open() r[i] = s:getreusedtimes() \
             s:send('x') s:receive(1) assert(s:setkeepalive(1000, 5)) \
             assert(select(2, s:send('x')) == 'closed') end \
             local t = open({{ pool = 'mine' }}) r[4] = t:getreusedtimes() \
             return show(unpack(r))",
            client(port)
        );
        bench.check(code, "0|1|2|0").await;
        // It outlives the run, and serves the next one.
        assert_eq!(bench.idle(&format!("127.0.0.1:{port}")), 1);
        let code = format!("{} return show(open():getreusedtimes())", client(port));
        bench.check(code, "3").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(made.get(), 2);
    });
}

#[test]
fn pools_are_bounded_and_idle_time_ends() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(echo).await;
        let code = format!(
            "{} local all = {{}} for i = 1, 5 do all[i] = open() end \
             for i = 1, 5 do assert(all[i]:setkeepalive(60, 2)) end return ''",
            client(port)
        );
        bench.check(code, "").await;
        let name = format!("127.0.0.1:{port}");
        assert_eq!(bench.idle(&name), 2);
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(bench.idle(&name), 0);
    });
}

#[test]
fn a_dead_or_dirty_connection_is_not_used_again() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(scripted).await;
        let name = format!("127.0.0.1:{port}");
        let code = format!(
            "{} local s = open() s:send('9 0 ab\\n') s:receive(1) \
             return show(s:setkeepalive())",
            client(port)
        );
        bench.check(code, "nil|unread data in buffer").await;
        // Closed by the peer while idle, and unasked bytes while idle.
        for script in ["close\\n", "9 0 unasked\\n"] {
            let code = format!(
                "{} local s = open() s:send('{script}') return show(s:setkeepalive())",
                client(port)
            );
            bench.check(code, "1").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(bench.idle(&name), 0, "{script}");
        }
        let code = format!(
            "{} local s = open() s:send('close\\n') s:receive() return show(s:setkeepalive())",
            client(port)
        );
        bench.check(code, "nil|closed").await;
        let code = format!(
            "{} local s = open() s:send('9 0 more\\n') ngx.sleep(0.05) return show(s:setkeepalive())",
            client(port)
        );
        bench.check(code, "nil|connection in dubious state").await;
    });
}

#[test]
fn a_backlog_bounds_the_connections_in_use() {
    worker(async {
        let bench = Bench::new().await;
        let port = server(echo).await;
        let code = format!(
            "{} local opts = {{ pool = 'p', pool_size = 1, backlog = 1 }} \
             local first = open(opts) \
             local waiter = ngx.thread.spawn(function() local s, err = open(opts) \
               return s and s:getreusedtimes(), err end) \
             local r = show(open(opts)) first:setkeepalive() \
             r = r .. '#' .. show(ngx.thread.wait(waiter)) return r",
            client(port)
        );
        bench.check(code, "nil|too many waiting connect operations#true|1|nil").await;
        // The last one was closed with its run: the place is free, one more waits in vain.
        let code = format!(
            "{} local opts = {{ pool = 'p', pool_size = 1, backlog = 1 }} \
             local first = open(opts) local s = ngx.socket.tcp() s:settimeout(30) \
             return show(first:getreusedtimes(), s:connect('127.0.0.1', {port}, opts))",
            client(port)
        );
        bench.check(code, "0|nil|timeout").await;
    });
}
