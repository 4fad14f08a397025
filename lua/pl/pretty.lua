--- `pl.pretty`: exists by name only.
-- @module pl.pretty
return require("moongate.unsupported").absent({}, "pl.pretty.", {
    "dump", "debug", "load", "number", "read", "write",
})
