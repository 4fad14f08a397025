--- Lets requests pass or refuses them by the address of the client.
--
-- Runs in `access`, after authentication has started and `real-ip` has settled the
-- address. Refusal: 403 (or 404, `response_code`) and `{"message":"..."}`.
local base = require("apisix.plugins.ip-restriction.init")

return {
    version = base.version,
    priority = base.priority,
    name = base.name,
    schema = base.schema,
    check_schema = base.check_schema,
    access = base.restrict,
}
