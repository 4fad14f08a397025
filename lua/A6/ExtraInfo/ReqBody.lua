--- `A6.ExtraInfo.ReqBody`: asks for the request's body.
-- @module A6.ExtraInfo.ReqBody
return require("moongate.a6").table("ReqBody", {
})
