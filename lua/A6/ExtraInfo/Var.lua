--- `A6.ExtraInfo.Var`: asks for a variable.
-- @module A6.ExtraInfo.Var
return require("moongate.a6").table("Var", {
    { "Name", "text" },
})
