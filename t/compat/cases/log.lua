-- What ngx.log and its kin write.
local say, try = ...

local function logs(func)
    return { access = func, compare = "log" }
end

return {
    ["levels"] = logs(function()
        for _, level in ipairs({ "EMERG", "ALERT", "CRIT", "ERR", "WARN", "NOTICE", "INFO",
            "DEBUG" }) do
            ngx.log(ngx[level], "level ", level)
        end
    end),
    ["values"] = logs(function()
        ngx.log(ngx.ERR, "a", 1, 2.5, true, false, nil, ngx.null)
        ngx.log(ngx.ERR)
        ngx.log(ngx.ERR, "")
        ngx.log(ngx.ERR, setmetatable({}, { __tostring = function() return "an object" end }))
    end),
    ["values that cannot be"] = logs(function()
        say(try(ngx.log, ngx.ERR, {}))
        say(try(ngx.log, ngx.ERR, function() end))
        say(try(ngx.log, ngx.ERR, coroutine.create(function() end)))
        say(try(ngx.log, ngx.ERR, setmetatable({}, { __tostring = function() return 12 end })))
    end),
    ["bad levels"] = logs(function()
        say(try(ngx.log))
        say(try(ngx.log, 9, "x"))
        say(try(ngx.log, -1, "x"))
        say(try(ngx.log, "x", "y"))
        say(try(ngx.log, nil, "y"))
        say(try(ngx.log, "4", "by text"))
    end),
    ["lines"] = logs(function()
        ngx.log(ngx.ERR, "two\nlines")
        ngx.log(ngx.ERR, "tab\tand\rreturn")
    end),
    ["returns"] = logs(function()
        say(select("#", ngx.log(ngx.ERR, "x")))
        say(select("#", ngx.log(ngx.DEBUG, "x")))
    end),
    ["print writes a notice"] = logs(function()
        print("printed", 1, nil, true)
    end),
    ["errlog.raw_log"] = logs(function()
        local raw_log = require("ngx.errlog").raw_log
        raw_log(ngx.ERR, "raw line")
        say(try(raw_log, ngx.ERR))
        say(try(raw_log, ngx.ERR, 12))
        say(try(raw_log, "x", "y"))
        say(try(raw_log, 12, "y"))
        say(try(raw_log, -1, "y"))
    end),
    ["errlog.get_sys_filter_level"] = function()
        say(require("ngx.errlog").get_sys_filter_level())
    end,
    ["errlog: capturing is off"] = function()
        local errlog = require("ngx.errlog")
        say(try(errlog.set_filter_level, ngx.WARN))
        say(try(errlog.get_logs))
        say(try(errlog.get_logs, 10))
        say(try(errlog.set_filter_level))
        say(try(errlog.set_filter_level, "x"))
        say(try(errlog.set_filter_level, 99))
    end,
    ["an uncaught error"] = { rewrite = function()
        error("oops")
    end, compare = "nobody noheaders" },
}
