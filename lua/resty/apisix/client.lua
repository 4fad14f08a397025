--- `resty.apisix.client`: what a plugin may change about the connection of the client.
-- @module resty.apisix.client
local host = require("moongate.host")

return {
    --- Changes what `remote_addr` and `remote_port` say.
    -- @function set_real_ip
    set_real_ip = host.req_set_real_ip,

    --- Changes the bound of the request body for this request.
    -- @function set_client_max_body_size
    -- @tparam number bytes 0 for any size
    set_client_max_body_size = host.req_set_body_max,

    --- Whether the whole request body is read before the upstream is asked.
    -- @function set_proxy_request_buffering
    -- @tparam boolean on
    set_proxy_request_buffering = host.req_set_buffering,

    --- Has the request sent to a second server too, whose answer nobody waits for: the URL in
    -- `$upstream_mirror_uri`. Both get what the plugins up to `before_proxy` made of it, so its
    -- body is read whole first.
    -- @function enable_mirror
    -- @treturn boolean true
    enable_mirror = host.req_mirror,
}
