--- What both ends of a WebSocket do, for `resty.websocket.client` and `resty.websocket.server`.
-- @module moongate.ws_methods
local protocol = require("resty.websocket.protocol")

local char = string.char
local floor = math.floor

local _M = {}


--- Gives a class the methods of one end.
-- @tparam table Class
-- @tparam boolean is_client clients mask what they send
function _M.extend(Class, is_client)
    local function masks(self)
        if is_client then
            return not self.send_unmasked
        end
        return self.send_masked
    end

    function Class:set_timeout(timeout)
        if not self.sock then
            return nil, "not initialized yet"
        end
        return self.sock:settimeout(timeout)
    end

    --- Sends any frame.
    function Class:send_frame(fin, opcode, payload)
        if self.fatal then
            return nil, "fatal error already happened"
        elseif self.closed then
            return nil, "already closed"
        elseif not self.sock then
            return nil, "not initialized yet"
        end
        local bytes, err = protocol.send_frame(self.sock, fin, opcode, payload,
                                               self.max_send_len or self.max_payload_len,
                                               masks(self))
        if not bytes then
            self.fatal = true
        end
        return bytes, err
    end

    function Class:send_text(text)
        return self:send_frame(true, 1, text)
    end

    function Class:send_binary(data)
        return self:send_frame(true, 2, data)
    end

    --- Says goodbye, maybe with a code and a text.
    function Class:send_close(code, text)
        local payload = ""
        if code then
            if type(code) ~= "number" or code > 0x7fff then
                return nil, "bad status code"
            end
            payload = char(floor(code / 256), code % 256) .. (text or "")
        end
        local bytes, err = self:send_frame(true, 8, payload)
        if not bytes then
            self.fatal = true
        elseif is_client then
            -- A server may go on.
            self.closed = true
        end
        return bytes, err
    end

    function Class:send_ping(text)
        return self:send_frame(true, 9, text)
    end

    function Class:send_pong(text)
        return self:send_frame(true, 10, text)
    end

    --- Receives a frame: payload, kind, and the error or a close code.
    function Class:recv_frame()
        if self.fatal then
            return nil, nil, "fatal error already happened"
        elseif not self.sock then
            return nil, nil, "not initialized yet"
        end
        local data, kind, err = protocol.recv_frame(self.sock, self.max_recv_len
                                                    or self.max_payload_len, not is_client)
        if not data and err and not err:find(": timeout", 1, true) then
            self.fatal = true
        end
        return data, kind, err
    end
end


return _M
