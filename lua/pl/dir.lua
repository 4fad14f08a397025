--- `pl.dir`: exists by name only.
-- @module pl.dir
return require("moongate.unsupported").absent({}, "pl.dir.", {
    "clonetree", "copyfile", "dirtree", "filter", "fnmatch", "getallfiles", "getdirectories",
    "getfiles", "makepath", "movefile", "rmtree", "walk",
})
