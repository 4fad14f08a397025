-- Validators of claims by time, and settings of jwt.
-- original: resty.jwt-validators
-- differs: set_payload_encoder, the original does not use the encoder for signed tokens
-- differs: set_payload_decoder, nor the decoder
local v, jwt = require("resty.jwt-validators"), require("resty.jwt")
v.set_system_clock(function() return 1000 end)
v.set_system_leeway(10)
local function run(validator, value, claim)
    local ok, err = pcall(validator, value, claim or "c", '{"c":1}')
    return ok, (tostring(err):gsub("^.-:%d+: ", ""))
end
local values = { 900, 989, 990, 991, 1000, 1009, 1010, 1011, 1100, "1000", true, {}, -5 }
for _, name in ipairs({ "is_not_before", "is_not_expired", "is_at", "opt_is_not_before", "opt_is_not_expired", "opt_is_at" }) do
    for i, value in ipairs(values) do
        case(name .. " " .. i, function() return run(v[name](), value) end)
    end
    case(name .. " of nothing", function() return run(v[name](), nil) end)
end
local makers = {
    equals = { "x" }, equals_any_of = { { "x", "y" } }, matches = { "^x+$" }, matches_any_of = { { "^x$", "^y" } }, less_than = { 5 }, less_than_or_equal = { 5 }, greater_than = { 5 }, greater_than_or_equal = { 5 }, contains_any_of = { { "x", "y" } },
}
for name, args in pairs(makers) do
    for _, prefix in ipairs({ "", "opt_" }) do
        for i, value in ipairs({ "x", "xx", "z", 4, 5, 6, { "x" }, { "z" }, {}, true }) do
            case(prefix .. name .. " " .. i, function() return run(v[prefix .. name](unpack(args)), value) end)
        end
        case(prefix .. name .. " of nothing", function() return run(v[prefix .. name](unpack(args)), nil) end)
        case(prefix .. name .. " of a wrong setting", function() return (pcall(v[prefix .. name], print)), (pcall(v[prefix .. name])) end)
    end
end
local function big(value) return value > 5 end
for i, value in ipairs({ 1, 9 }) do
    case("check " .. i, function() return run(v.check(value, function(a, b) return a == b end, "same", "number"), 9) end)
    case("opt_check " .. i, function() return run(v.opt_check(value, function(a, b) return a == b end, "same", "number"), 9) end)
    case("any_of " .. i, function() return run(v.any_of({ big, function(x) return x == 3 end }), value) end)
    case("opt_any_of " .. i, function() return run(v.opt_any_of({ big }), value) end)
    case("chain " .. i, function() return run(v.chain(v.required(), v.greater_than(5)), value) end)
    case("required " .. i, function() return run(v.required(v.greater_than(5)), value) end)
end
case("required of nothing", function() return run(v.required(), nil) end)
case("any_of nothing", function() return (pcall(v.any_of, {})) end)
case("require_one_of", function() local one = v.require_one_of({ "a", "b" }) return (pcall(one, { payload = { a = 1 } }, "__jwt", "{}")), (pcall(one, { payload = {} }, "__jwt", "{}")) end)
case("set_system_leeway of nonsense", function() return (pcall(v.set_system_leeway, -1)), (pcall(v.set_system_leeway, "x")) end)
case("set_system_clock of nonsense", function() return (pcall(v.set_system_clock, 5)) end)
v.set_system_leeway(0)
v.set_system_clock(ngx.time)
case("get_default_validation_options", function() local token = jwt:load_jwt(jwt:sign("s", { header = { alg = "HS256", typ = "JWT" }, payload = { a = 1 } })) local found = {} for key, value in pairs(jwt:get_default_validation_options(token)) do found[key] = type(value) end return found end)
case("set_payload_encoder", function()
    local own = jwt
    own:set_payload_encoder(function() return '{"made":"up"}' end)
    local token = own:sign("s", { header = { alg = "HS256", typ = "JWT" }, payload = { a = 1 } })
    own:set_payload_encoder(require("cjson.safe").encode)
    return ngx.decode_base64((token:match("%.(.-)%."):gsub("-", "+"):gsub("_", "/")))
end)
case("set_payload_decoder", function()
    local own = jwt
    local token = own:sign("s", { header = { alg = "HS256", typ = "JWT" }, payload = { a = 1 } })
    own:set_payload_decoder(function() return { made = "up" } end)
    local read = own:load_jwt(token).payload
    own:set_payload_decoder(require("cjson.safe").decode)
    return read
end)
case("no decoder", function() return (pcall(jwt.set_payload_decoder, jwt, 5)), (pcall(jwt.set_payload_encoder, jwt, 5)) end)
case("set_trusted_certs_file", function() jwt.set_trusted_certs_file(setmetatable({}, { __index = jwt }), "/none") return "set" end)
case("set_x5u_content_retriever", function() jwt.set_x5u_content_retriever(setmetatable({}, { __index = jwt }), function() return nil end) return (pcall(jwt.set_x5u_content_retriever, jwt, 5)) end)
case("verify_jwt_obj", function() local token = jwt:load_jwt(jwt:sign("s", { header = { alg = "HS256", typ = "JWT" }, payload = { a = 1 } })) return jwt:verify_jwt_obj("s", token).verified, jwt:verify_jwt_obj("t", jwt:load_jwt(jwt:sign("s", { header = { alg = "HS256", typ = "JWT" }, payload = { a = 1 } }))).reason:match("^[^:]*") end)
case("new", function() return type(jwt.new), type(jwt:new()) end)
