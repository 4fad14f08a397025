--- `resty.rocketmq.acl_rpchook`: signs what is sent to RocketMQ, for brokers with access control.
-- @module resty.rocketmq.acl_rpchook
local hmac_sha1 = ngx.hmac_sha1
local concat = table.concat
local encode_base64 = ngx.encode_base64
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring

-- The broker leaves these out, too.
local UNSIGNED = { Signature = true, _UNIQUE_KEY_QUERY = true }

local _M = {}
local mt = { __index = _M }


--- A hook for a producer's `addRPCHook`.
-- @tparam string access_key
-- @tparam string secret_key
-- @tparam[opt] string security_token
function _M.new(access_key, secret_key, security_token)
    return setmetatable({
        accessKey = access_key, secretKey = secret_key, securityToken = security_token,
    }, mt)
end


--- Adds the signature: over the values of all fields in the order of their names, and the body.
-- @tparam string address
-- @tparam[opt] table header the fields
-- @tparam[opt] string body
function _M:doBeforeRequest(address, header, body)
    if not header then
        return
    end
    header.AccessKey, header.SecurityToken = self.accessKey, self.securityToken
    local names = {}
    for name in pairs(header) do
        if not UNSIGNED[name] then
            names[#names + 1] = name
        end
    end
    sort(names)
    local values = {}
    for i, name in ipairs(names) do
        values[i] = tostring(header[name])
    end
    header.Signature = encode_base64(hmac_sha1(self.secretKey, concat(values) .. (body or "")))
end


--- Nothing is to be done with an answer.
function _M:doAfterResponse()
end


return _M
