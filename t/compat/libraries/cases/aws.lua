-- Requests signed for AWS.
-- original: resty.aws.request.sign
-- Both take the time when they are called; it stands still for them.
local clock = ngx.time
local at = 1440938160
ngx.time = function() return at end
local sign = require("resty.aws.request.sign")
local function credentials(token)
    return { get = function() return true, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token end }
end
local function call(request, token, prefix)
    local made, err = sign({ region = "us-east-1", signatureVersion = "v4", endpointPrefix = prefix or "bedrock", credentials = credentials(token) }, request)
    return made and made.headers.Authorization or made, err, made and made.headers["X-Amz-Date"], made and made.headers.Host, made and made.headers["X-Amz-Security-Token"]
end
local requests = {
    { method = "GET", host = "example.amazonaws.com", path = "/", timestamp = at, headers = {}, query = {} },
    { method = "POST", host = "example.amazonaws.com", path = "/", timestamp = at, headers = { ["Content-Type"] = "application/json" }, body = "{}" },
    { method = "GET", host = "example.amazonaws.com", path = "/a/b", timestamp = at, headers = {}, query = { b = "2", a = "1" } },
    { method = "GET", host = "example.amazonaws.com", path = "/", timestamp = at, headers = {}, query = { ["a b"] = "x/y" } },
    { method = "POST", host = "h", port = 443, canonicalURI = "/model/x%253A0/converse", timestamp = at, headers = {}, body = "x" },
    { method = "PUT", host = "h", path = "/", timestamp = at, headers = { ["X-Extra"] = "  v " } },
}
for i, request in ipairs(requests) do
    case("request " .. i, function() return call(request) end)
    case("request with a token " .. i, function() return call(request, "TOKEN") end)
end
case("no credentials", function()
    return sign({ region = "r", signatureVersion = "v4", endpointPrefix = "p", credentials = { get = function() return nil, "none" end } },
                { method = "GET", host = "h", path = "/", headers = {} })
end)
case("another version", function() return (pcall(sign, { signatureVersion = "v9" }, {})) end)
ngx.time = clock
