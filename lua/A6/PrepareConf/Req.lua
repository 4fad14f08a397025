--- `A6.PrepareConf.Req`: announces a configuration to the runner.
-- @module A6.PrepareConf.Req
return require("moongate.a6").table("Req", {
    { "Conf", "entries" },
    { "Key", "text" },
})
