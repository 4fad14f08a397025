--- `apisix.debug`: whether the debug mode of APISIX is on. It is not.
-- @module apisix.debug
return {
    enable_debug = function()
        return false
    end,
}
