--- `A6.Err.Resp`: why the runner could not answer.
-- @module A6.Err.Resp
return require("moongate.a6").table("Resp", {
    { "Code", "Uint8" },
})
