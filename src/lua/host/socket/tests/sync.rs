//! Semaphores.

use super::*;

const NEW: &str = "local sema = require('ngx.semaphore').new";

#[test]
fn places_are_taken_waited_for_and_counted() {
    worker(async {
        let bench = Bench::new().await;
        let code = format!(
            "{NEW}(1) local r = show(sema:count(), sema:wait(0), sema:count(), sema:wait(0)) \
             r = r .. '#' .. show(sema:wait(0.02)) \
             local t = ngx.thread.spawn(function() return sema:wait(1) end) \
             r = r .. '#' .. show(sema:count()) sema:post(3) \
             return r .. '#' .. show(ngx.thread.wait(t)) .. show(sema:count())"
        );
        bench.check(code, "1|true|0|nil|timeout#false|timeout#-1#true|true|nil2").await;
    });
}

#[test]
fn one_run_wakes_another() {
    worker(async {
        let bench = Rc::new(Bench::new().await);
        bench.run("shared = require('ngx.semaphore').new(0) return ''").await;
        let other = Rc::clone(&bench);
        let waiting =
            tokio::task::spawn_local(
                async move { other.run("return show((shared:wait(5)))").await },
            );
        tokio::time::sleep(Duration::from_millis(20)).await;
        bench.check("return show(shared:count(), shared:post(1))".to_owned(), "-1|true").await;
        assert_eq!(waiting.await.unwrap(), "true");
    });
}

#[test]
fn who_goes_away_after_being_called_passes_it_on() {
    worker(async {
        let bench = Bench::new().await;
        let code = format!(
            "{NEW}(0) local a = ngx.thread.spawn(function() return sema:wait(1) end) \
             local b = ngx.thread.spawn(function() return sema:wait(1) end) \
             sema:post(1) ngx.thread.kill(a) \
             return show(ngx.thread.wait(b)) .. show(sema:count())"
        );
        bench.check(code, "true|true|nil0").await;
        let code = format!(
            "{NEW}(0) local a = ngx.thread.spawn(function() return sema:wait(1) end) \
             ngx.thread.kill(a) ngx.sleep(0) return show(sema:count())"
        );
        bench.check(code, "0").await;
    });
}
