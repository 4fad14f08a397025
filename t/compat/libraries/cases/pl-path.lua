-- Paths of Penlight.
-- original: pl.path
-- original: lfs
-- differs: relpath 14, the original leaves a slash too many
local path = require("pl.path")
local dir = os.tmpname()
os.remove(dir)
local paths = { "", "/", "a", "a/", "/a", "/a/b.txt", "a/b.tar.gz", ".hidden", "/a/.hidden", "a.b/c", "..", ".", "./a", "//a//b", "a/../b", "/a/./b/", "a/b/../../..", "C:\\x", "x.", "/a/b/" }
for i, one in ipairs(paths) do
    case("splitpath " .. i, function() return path.splitpath(one) end)
    case("splitext " .. i, function() return path.splitext(one) end)
    case("dirname " .. i, function() return path.dirname(one) end)
    case("basename " .. i, function() return path.basename(one) end)
    case("extension " .. i, function() return path.extension(one) end)
    case("isabs " .. i, function() return path.isabs(one) end)
    case("normpath " .. i, function() return path.normpath(one) end)
    case("normcase " .. i, function() return path.normcase(one) end)
    case("abspath " .. i, function() return path.abspath(one, "/base/dir") end)
    case("relpath " .. i, function() return path.relpath(one, "/base/dir") end)
end
for i, args in ipairs({ { "a", "b" }, { "a/", "b" }, { "a", "/b" }, { "", "b" }, { "a", "" }, { "a", "b", "c" }, { "a", "/b", "c" }, { "/", "a" } }) do
    case("join " .. i, function() return path.join(unpack(args)) end)
    case("common_prefix " .. i, function() return path.common_prefix(args[1], args[2]) end)
end
case("common_prefix of a folder", function() return path.common_prefix("/a/b/c", "/a/b/d"), path.common_prefix("/a/bc", "/a/bd"), path.common_prefix("/a/b", "/a/b") end)
case("mkdir", function() return path.mkdir(dir) end)
case("mkdir again", function() return (path.mkdir(dir)) end)
case("isdir", function() return path.isdir(dir), path.isdir(dir .. "/none"), path.isdir("/etc/passwd"), path.isdir(dir .. "/") end)
local file = io.open(dir .. "/f.txt", "w")
file:write("hello")
file:close()
case("isfile", function() return path.isfile(dir .. "/f.txt"), path.isfile(dir), path.isfile(dir .. "/none") end)
case("islink", function() return path.islink(dir .. "/f.txt"), path.islink("/proc/self/exe") end)
case("getsize", function() return path.getsize(dir .. "/f.txt"), (path.getsize(dir .. "/none")) end)
case("exists", function() return path.exists(dir .. "/f.txt") == dir .. "/f.txt", path.exists(dir .. "/none") end)
case("getmtime", function() return math.abs(path.getmtime(dir .. "/f.txt") - os.time()) < 5 end)
case("getatime", function() return type(path.getatime(dir .. "/f.txt")) end)
case("getctime", function() return type(path.getctime(dir .. "/f.txt")) end)
case("attrib", function() return path.attrib(dir .. "/f.txt", "mode"), path.attrib(dir .. "/f.txt").size end)
case("link_attrib", function() return path.link_attrib("/proc/self/exe", "mode") end)
case("dir", function() local names = {} for name in path.dir(dir) do names[#names + 1] = name end table.sort(names) return names end)
case("currentdir", function() local now = path.currentdir() return path.isabs(now) end)
case("chdir", function() local now = path.currentdir() local ok = path.chdir(dir) local there = path.currentdir() == dir path.chdir(now) return ok, there end)
case("rmdir that is not empty", function() return (path.rmdir(dir)) end)
case("rmdir", function() os.remove(dir .. "/f.txt") return path.rmdir(dir), path.exists(dir) end)
case("rmdir of none", function() return (path.rmdir(dir)) end)
case("expanduser", function() return not os.getenv("HOME") or path.expanduser("~/x") == os.getenv("HOME") .. "/x", path.expanduser("/x") end)
case("tmpname", function() local name = path.tmpname() os.remove(name) return type(name) end)
case("package_path", function() return (path.package_path("no.such.module.at.all")) end)
case("constants", function() return path.sep, path.dirsep, path.is_windows end)
for _, name in ipairs({ "isabs", "join", "splitpath", "basename", "isdir", "isfile", "exists", "normpath" }) do
    case(name .. " of no text", function() return (pcall(path[name], 12)) , (pcall(path[name], nil)) end)
end
case("join of one", function() return (pcall(path.join, "a")) end)
