--- `A6.ExtraInfo.RespBody`: asks for the response's body.
-- @module A6.ExtraInfo.RespBody
return require("moongate.a6").table("RespBody", {
})
