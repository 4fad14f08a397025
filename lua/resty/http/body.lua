--- Reading the body of an HTTP/1.1 response from a socket.
--
-- A reader is a function: max -> chunk | nil at the end | nil, error.
-- @module resty.http.body
local concat = table.concat
local match = string.match
local min = math.min
local tonumber = tonumber

local CHUNK_BYTES = 65536

local _M = {}


--- A body of a known length.
function _M.by_length(sock, length)
    local left = length
    return function(max)
        if left <= 0 then
            return nil
        end
        local chunk, err = sock:receive(min(left, max or CHUNK_BYTES))
        if not chunk then
            left = 0
            return nil, err
        end
        left = left - #chunk
        return chunk
    end
end


--- A body that ends with the connection.
function _M.until_close(sock)
    local done = false
    return function(max)
        if done then
            return nil
        end
        local chunk, err, partial = sock:receive(max or CHUNK_BYTES)
        if chunk then
            return chunk
        end
        done = true
        if err ~= "closed" then
            return nil, err
        end
        if partial and partial ~= "" then
            return partial
        end
        return nil
    end
end


local function read_chunk_size(sock)
    local line, err = sock:receive("*l")
    if not line then
        return nil, err
    end
    local size = tonumber(match(line, "^%s*(%x+)"), 16)
    if not size then
        return nil, "unable to read chunksize"
    end
    return size
end


-- What follows the last chunk, up to an empty line.
local function read_trailers(sock, on_trailer)
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        end
        if line == "" then
            return true
        end
        local name, value = match(line, "^([^:%s]+):%s*(.-)%s*$")
        if name then
            on_trailer(name, value)
        end
    end
end


--- A chunked body.
-- @tparam table sock
-- @tparam function on_trailer on_trailer(name, value), called while the end is read
function _M.chunked(sock, on_trailer)
    local left, done = 0, false

    local function fail(err)
        done = true
        return nil, err
    end

    return function(max)
        if done then
            return nil
        end
        if left == 0 then
            local size, err = read_chunk_size(sock)
            if not size then
                return fail(err)
            end
            if size == 0 then
                done = true
                local ok
                ok, err = read_trailers(sock, on_trailer)
                return nil, not ok and err or nil
            end
            left = size
        end

        local chunk, err = sock:receive(min(left, max or CHUNK_BYTES))
        if not chunk then
            return fail(err)
        end
        left = left - #chunk
        if left == 0 then
            local ok
            ok, err = sock:receive(2)
            if not ok then
                return fail(err)
            end
        end
        return chunk
    end
end


--- The reader of a response without a body.
function _M.none()
    return nil
end


--- Everything that a reader has.
-- @tparam function reader
-- @tparam[opt] number bytes_max a longer body is an error
-- @treturn string|nil
-- @treturn nil|string error
function _M.read_all(reader, bytes_max)
    local chunks, bytes = {}, 0
    while true do
        local chunk, err = reader(CHUNK_BYTES)
        if err then
            return nil, err
        end
        if not chunk then
            return concat(chunks)
        end
        bytes = bytes + #chunk
        if bytes_max and bytes > bytes_max then
            return nil, "response body is longer than " .. bytes_max .. " bytes"
        end
        chunks[#chunks + 1] = chunk
    end
end


return _M
