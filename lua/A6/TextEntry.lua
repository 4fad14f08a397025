--- `A6.TextEntry`: a name and a text.
-- @module A6.TextEntry
return require("moongate.a6").table("TextEntry", {
    { "Name", "text" },
    { "Value", "text" },
})
