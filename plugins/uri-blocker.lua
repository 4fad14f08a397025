--- Refuses requests whose path and query match one of some regular expressions.
--
-- Runs in `rewrite`, on the path as the router saw it: decoded and normalised. Refusal:
-- `rejected_code` (403), with `{"error_msg":"..."}` if `rejected_msg` is set.
local core = require("apisix.core")
local re_compile = require("resty.core.regex").re_match_compile

local ipairs = ipairs
local re_find = ngx.re.find

local schema = {
    type = "object",
    properties = {
        block_rules = {
            type = "array",
            items = { type = "string", minLength = 1, maxLength = 4096 },
            uniqueItems = true,
        },
        rejected_code = { type = "integer", minimum = 200, default = 403 },
        rejected_msg = { type = "string", minLength = 1 },
        case_insensitive = { type = "boolean", default = false },
    },
    required = { "block_rules" },
}

local _M = {
    version = 0.1,
    priority = 2900,
    name = "uri-blocker",
    schema = schema,
}


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    for _, rule in ipairs(conf.block_rules) do
        ok, err = re_compile(rule, "j")
        if not ok then
            return false, err
        end
    end
    return true
end


function _M.rewrite(conf, ctx)
    local var = ctx.var
    local uri = var.uri
    if var.is_args == "?" then
        uri = uri .. "?" .. (var.args or "")
    end

    -- One by one, not joined by "|": a back reference in one rule must not mean a group of
    -- another, which would let through what the rule blocks.
    local rules = conf.block_rules
    local options = conf.case_insensitive and "ijo" or "jo"
    for i = 1, #rules do
        if re_find(uri, rules[i], options) then
            local message = conf.rejected_msg
            return conf.rejected_code, message and { error_msg = message }
        end
    end
end


return _M
