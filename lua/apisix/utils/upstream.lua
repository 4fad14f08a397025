--- `apisix.utils.upstream`.
-- @module apisix.utils.upstream
local clone = require("apisix.core.table").clone
local host = require("moongate.host")
local log = require("apisix.core.log")
local resolver = require("apisix.core.resolver")

local ipairs = ipairs
local sort = table.sort
local tostring = tostring
local type = type

local FIELDS = { "host", "port", "weight", "priority", "metadata" }

local _M = {}


local function by_host(a, b)
    return a.host < b.host
end


local function same_node(a, b)
    for i = 1, #FIELDS do
        if a[FIELDS[i]] ~= b[FIELDS[i]] then
            return false
        end
    end
    return true
end


--- Whether the nodes of an upstream are these nodes, in any order.
function _M.compare_upstream_node(up_conf, nodes)
    local old = up_conf and up_conf.nodes
    if type(old) ~= "table" then
        return false
    end
    if old == nodes then
        return true
    end
    if up_conf.original_nodes and #old > 0 then
        old = up_conf.original_nodes
    end
    if #old ~= #nodes then
        return false
    end

    sort(old, by_host)
    sort(nodes, by_host)
    for i = 1, #nodes do
        if not same_node(nodes[i], old[i]) then
            return false
        end
    end
    return true
end


--- The nodes with addresses for names; a name that cannot be resolved is left out.
function _M.parse_domain_for_nodes(nodes)
    local resolved = {}
    for _, node in ipairs(nodes) do
        if host.ip.parse_ipv4(node.host) or host.ip.parse_ipv6(node.host) then
            resolved[#resolved + 1] = node
        else
            local address, err = resolver.parse_domain(node.host)
            if address then
                local copy = clone(node)
                copy.host = address
                copy.domain = node.host
                resolved[#resolved + 1] = copy
            else
                log.error("dns resolver domain: ", node.host, " error: ", err)
            end
        end
    end
    return resolved
end


--- A version that also changes with the nodes.
function _M.version(index, nodes_ver)
    if not index then
        return nil
    end
    return index .. tostring(nodes_ver or "")
end


return _M
