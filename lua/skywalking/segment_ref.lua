--- `skywalking.segment_ref`: which span of which service a span follows from. It travels in the
-- header `sw8`, eight parts with `-` between them:
--
--     sample flag - trace - segment - span number - service - instance - endpoint - peer
--
-- All but the flag and the number are base64.
-- @module skywalking.segment_ref
local util = require("skywalking.util")

local concat = table.concat
local decode_base64 = util.decode_base64
local encode_base64 = util.encode_base64
local split = util.split
local tonumber = tonumber

local PARTS = 8
local IS_SAMPLED = "1"

local _M = {}


function _M.new()
    return { type = "CROSS_PROCESS" }
end


--- Reads a header.
-- @tparam string value
-- @treturn table|nil nil if it names no span: a part is missing or cannot be read
function _M.fromSW8Value(value)
    local parts = split(value, "-")
    if #parts ~= PARTS then
        return nil
    end

    local ref = _M.new()
    ref.trace_id = decode_base64(parts[2])
    ref.segment_id = decode_base64(parts[3])
    ref.span_id = tonumber(parts[4])
    ref.parent_service = decode_base64(parts[5])
    ref.parent_service_instance = decode_base64(parts[6])
    ref.parent_endpoint = decode_base64(parts[7])
    ref.address_used_at_client = decode_base64(parts[8])
    -- The collector refuses a whole batch for one segment without these.
    if not (ref.trace_id and ref.segment_id and ref.span_id) then
        return nil
    end
    return ref
end


--- What a request that leaves in `span` says of its origin.
function _M.createInjectableRef(context, span)
    local ref = _M.new()
    ref.trace_id, ref.segment_id, ref.span_id = context.trace_id, context.segment_id, span.span_id
    ref.parent_service = context.service
    ref.parent_service_instance = context.service_instance
    ref.parent_endpoint = span.parent_endpoint_name
    ref.address_used_at_client = span.peer
    return ref
end


--- Writes the header.
function _M.serialize(ref)
    return concat({
        IS_SAMPLED, encode_base64(ref.trace_id), encode_base64(ref.segment_id), ref.span_id,
        encode_base64(ref.parent_service), encode_base64(ref.parent_service_instance),
        encode_base64(ref.parent_endpoint), encode_base64(ref.address_used_at_client),
    }, "-")
end


--- The reference as it stands in a report.
function _M.transform(ref)
    return {
        refType = "CrossProcess",
        traceId = ref.trace_id,
        parentTraceSegmentId = ref.segment_id,
        parentSpanId = ref.span_id,
        parentService = ref.parent_service,
        parentServiceInstance = ref.parent_service_instance,
        parentEndpoint = ref.parent_endpoint,
        networkAddressUsedAtPeer = ref.address_used_at_client,
    }
end


return _M
