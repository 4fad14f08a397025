--- `A6.PrepareConf.Resp`: the runner's token for a configuration.
-- @module A6.PrepareConf.Resp
return require("moongate.a6").table("Resp", {
    { "ConfToken", "Uint32" },
})
