-- Files and directories.
-- original: lfs
local lfs = require("lfs")
local base = os.tmpname()
os.remove(base)
case("mkdir", function() return lfs.mkdir(base) end)
case("mkdir again", function() return lfs.mkdir(base) end)
local path = base .. "/file"
local file = io.open(path, "w")
file:write("hello")
file:close()
case("touch", function() return lfs.touch(path, 1000000, 2000000) end)
for _, name in ipairs({ "mode", "size", "access", "modification", "permissions", "nlink", "uid", "blocks" }) do
    case("attributes " .. name, function() return lfs.attributes(path, name) end)
end
case("all attributes", function()
    local names = {}
    for name in pairs(lfs.attributes(path)) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end)
case("a table to fill", function() local t = { x = 1 } return lfs.attributes(path, t) == t, t.size, t.x end)
case("dev and ino", function()
    local found = lfs.attributes("/")
    return found.ino, found.dev == lfs.attributes("/", "dev")
end)
case("of no file", function()
    local found, err, number = lfs.attributes(base .. "/none")
    return found, (err:gsub("'.-'", "'x'")), number
end)
case("no such attribute", function() return lfs.attributes(path, "nothing") end)
case("directory", function() return lfs.attributes(base, "mode") end)
case("device", function() return lfs.attributes("/dev/null", "mode") end)
case("link", function() return lfs.link(path, base .. "/link", true) end)
case("symlinkattributes", function() return lfs.symlinkattributes(base .. "/link", "mode") end)
case("target", function() return lfs.symlinkattributes(base .. "/link", "target") == path end)
case("hard link", function() return lfs.link(path, base .. "/hard"), lfs.attributes(path, "nlink") end)
case("dir", function()
    local names = {}
    for name in lfs.dir(base) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end)
case("dir of none", function() return (pcall(lfs.dir, "/none")) end)
case("dir object", function()
    local _, object = lfs.dir(base)
    local first = type(object:next())
    object:close()
    return first
end)
case("currentdir", function() return lfs.currentdir() ~= nil end)
case("rmdir of a full one", function() return lfs.rmdir(base) end)
case("rmdir", function()
    for _, name in ipairs({ "file", "link", "hard" }) do
        os.remove(base .. "/" .. name)
    end
    return lfs.rmdir(base)
end)
case("setmode", function() return lfs.setmode(io.stdout, "text") end)
case("chdir to none", function() local ok, err = lfs.chdir("/none") return ok, err end)
