--- The serverless plugins: Lua functions that stand in the configuration.
--
-- They run in the phase that the conf names; what one returns is the answer and ends the
-- request. A conf with a text that is no function is refused.
-- @module apisix.plugins.serverless.init
local core = require("apisix.core")

local error = error
local ipairs = ipairs
local loadstring = loadstring
local pcall = pcall
local setmetatable = setmetatable
local tostring = tostring
local type = type

local PHASES = {
    "rewrite", "access", "header_filter", "body_filter", "log", "before_proxy",
}


local function schema()
    return {
        type = "object",
        properties = {
            phase = { type = "string", default = "access", enum = PHASES },
            functions = { type = "array", items = { type = "string" }, minItems = 1 },
        },
        required = { "functions" },
    }
end


local function function_of(text)
    local chunk, err = loadstring(text)
    if not chunk then
        return nil, "failed to loadstring: " .. err
    end
    local ok, result = pcall(chunk)
    if not ok then
        return nil, "pcall error: " .. tostring(result)
    end
    if type(result) ~= "function" then
        return nil, "only accept Lua function, the input code type is " .. type(result)
    end
    return result
end


local function functions_of(conf)
    local functions = {}
    for i, text in ipairs(conf.functions) do
        local func, err = function_of(text)
        if not func then
            error(err, 0)
        end
        functions[i] = func
    end
    return functions
end


--- Makes one of the plugins.
-- @tparam string name
-- @tparam number priority
-- @treturn table
return function(name, priority)
    local _M = { version = 0.1, priority = priority, name = name, schema = schema() }

    -- The functions live as long as their conf, so what they close over does too.
    local compiled = setmetatable({}, { __mode = "k" })

    local function call(conf, ctx)
        local functions = compiled[conf]
        if not functions then
            functions = functions_of(conf)
            compiled[conf] = functions
        end
        for i = 1, #functions do
            local code, body = functions[i](conf, ctx)
            if code or body then
                return code, body
            end
        end
    end

    function _M.check_schema(conf)
        local ok, err = core.schema.check(_M.schema, conf)
        if not ok then
            return false, err
        end
        for _, text in ipairs(conf.functions) do
            local func
            func, err = function_of(text)
            if not func then
                return false, err
            end
        end
        return true
    end

    for _, phase in ipairs(PHASES) do
        _M[phase] = function(conf, ctx)
            if conf.phase == phase then
                return call(conf, ctx)
            end
        end
    end

    return _M
end
