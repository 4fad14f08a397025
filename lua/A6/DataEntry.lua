--- `A6.DataEntry`: a name and bytes.
-- @module A6.DataEntry
return require("moongate.a6").table("DataEntry", {
    { "Name", "text" },
    { "Value", "bytes" },
})
