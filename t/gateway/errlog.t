# ngx.errlog keeps a worker's lines, which Debian's nginx cannot, so that t/compat does not see it.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: lines up to the level are kept and taken out, the oldest first
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - |
            return function()
                local errlog = require("ngx.errlog")
                ngx.say(errlog.set_filter_level(ngx.ERR))
                ngx.log(ngx.ERR, "the first line")
                ngx.log(ngx.WARN, "not as grave")
                ngx.log(ngx.CRIT, "the second line")
                local logs = errlog.get_logs(1)
                ngx.say(#logs, " ", logs[1], " ", logs[3]:find("the first line", 1, true) ~= nil)
                local mine = { "old", "old", "old", "old" }
                ngx.say(errlog.get_logs(10, mine) == mine)
                ngx.say(#mine, " ", mine[1], " ", ngx.time() - mine[2] < 5, " ",
                        mine[3]:find("the second line", 1, true) ~= nil)
                ngx.say(#errlog.get_logs())
                ngx.exit(200)
            end
#END
--- request
GET /hello
--- response_body
true
3 4 true
true
3 3 true true
0
--- error_log
the first line
the second line



=== TEST 2: the head is complete once it was flushed
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - |
            return function()
                ngx.header["X-Early"] = "yes"
                ngx.send_headers()
                ngx.flush(true)
                ngx.header["X-Late"] = "yes"
                ngx.status = 500
                ngx.say(ngx.headers_sent)
                ngx.eof()
                local ok, err = ngx.print("more")
                ngx.exit(200)
            end
#END
--- request
GET /hello
--- response_headers
X-Early: yes
! X-Late
--- response_body
true
--- error_log
attempt to set ngx.header.HEADER after sending out response headers
attempt to set ngx.status after sending out response headers
