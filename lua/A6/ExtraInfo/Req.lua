--- `A6.ExtraInfo.Req`: something more that the runner asks for.
-- @module A6.ExtraInfo.Req
return require("moongate.a6").table("Req", {
    { "InfoType", "Uint8" },
    { "Info", "union" },
})
