//! Child processes.

use super::*;

const SPAWN: &str = "local spawn = require('ngx.pipe').spawn ";

#[track_caller]
fn check(code: &'static str, expected: &'static str) {
    worker(async move {
        let bench = Bench::new().await;
        bench.check(format!("{SPAWN}{code}"), expected).await;
    });
}

#[test]
fn output_and_end_are_told() {
    check(
        "local p = spawn({'sh', '-c', 'echo out; echo err >&2; exit 3'}) \
         return show(p:stdout_read_line()) .. '#' .. show(p:stderr_read_all()) .. '#' \
         .. show(p:stdout_read_line()) .. '#' .. show(p:wait()) .. '#' .. show(p:wait())",
        "out#err\n#nil|closed#false|exit|3#nil|exited",
    );
}

#[test]
fn what_is_written_is_read() {
    check(
        "local p = spawn('cat') \
         local r = show(p:write({'a', 'b\\nc'})) .. '#' .. show(p:stdout_read_line()) \
         p:shutdown('stdin') \
         return r .. '#' .. show(p:stdout_read_bytes(4)) .. '#' .. show(p:wait()) \
         .. '#' .. show(p:write('x'))",
        "4#ab#nil|closed|c#true|exit|0#nil|closed",
    );
}

#[test]
fn time_outs_and_signals_end_the_wait() {
    check(
        "local p = spawn({'sleep', '20'}, { wait_timeout = 20, stdout_read_timeout = 10 }) \
         local r = show(p:wait()) .. '#' .. show(p:stdout_read_any(5)) .. '#' .. show(p:kill(9)) \
         p:set_timeouts(nil, nil, nil, 5000) \
         return r .. '#' .. show(p:wait()) .. '#' .. show(p:kill(9))",
        "nil|timeout#nil|timeout|#true#false|signal|9#nil|exited",
    );
}

#[test]
fn one_reads_and_shutdown_ends_it() {
    check(
        "local p = spawn({'sleep', '20'}) \
         local t = ngx.thread.spawn(function() return p:stdout_read_all() end) \
         local r = show(p:stdout_read_line()) .. '#' .. show(p:shutdown('stdout')) \
         return r .. '#' .. show(ngx.thread.wait(t)) .. '#' .. show(p:stdout_read_line())",
        "nil|pipe busy reading#true#true|nil|aborted#nil|closed",
    );
}

#[test]
fn errors_can_be_merged_and_the_environment_given() {
    check(
        "local p = spawn({'/bin/sh', '-c', 'echo $WHO; echo err >&2'}, \
         { merge_stderr = true, environ = { 'WHO=me' } }) \
         return show(p:stdout_read_all()) .. '#' .. show(p:stderr_read_all()) .. '#' \
         .. show(p:shutdown('stderr'))",
        "me\nerr\n#nil|merged to stdout#nil|merged to stdout",
    );
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    check("local p, err = spawn({'/no/such/program'}) return show(p, type(err))", "nil|string");
}

#[test]
fn a_process_nobody_holds_is_killed() {
    check(
        "local pid = spawn({'sleep', '20'}):pid() collectgarbage() collectgarbage() \
         ngx.sleep(0.1) local f = io.open('/proc/' .. pid .. '/cmdline') \
         return show(f and f:read('*a') or '')",
        "",
    );
}
