--- `pl.path`: the functions of Penlight's path that plugins use, for POSIX.
-- @module pl.path
local concat = table.concat
local ffi = require("ffi")
local gmatch = string.gmatch
local gsub = string.gsub
local lfs = require("lfs")
local match = string.match
local select = select
local sub = string.sub
local type = type

ffi.cdef[[
    char *getcwd(char *buf, size_t size);
    int mkdir(const char *pathname, unsigned int mode);
    int rmdir(const char *pathname);
    ssize_t readlink(const char *pathname, char *buf, size_t bufsiz);
    char *strerror(int errnum);
]]

local C = ffi.C
local PATH_BYTES = 4096
local MODE = 0x1ed -- 0755

local _M = { sep = "/", is_windows = false, dirsep = ":" }


local function result(code)
    if code == 0 then
        return true
    end
    return nil, ffi.string(C.strerror(ffi.errno()))
end


function _M.currentdir()
    local buf = ffi.new("char[?]", PATH_BYTES)
    if C.getcwd(buf, PATH_BYTES) == nil then
        return nil, ffi.string(C.strerror(ffi.errno()))
    end
    return ffi.string(buf)
end


function _M.isabs(path)
    if type(path) ~= "string" then
        error("argument 1 expected a 'string' got a '" .. type(path) .. "'", 2)
    end
    return sub(path, 1, 1) == "/"
end


--- Joins parts; an absolute part begins anew.
function _M.join(...)
    local path, second = ...
    if type(path) ~= "string" or type(second) ~= "string" then
        error("arguments of join must be texts", 2)
    end
    for i = 2, select("#", ...) do
        local part = select(i, ...)
        if _M.isabs(part) or path == "" then
            path = part
        elseif sub(path, -1) == "/" then
            path = path .. part
        else
            path = path .. "/" .. part
        end
    end
    return path
end


--- Takes out "." and ".." and double slashes; two at the begin stay two.
function _M.normpath(path)
    local out = {}
    local anchor = match(path, "^//[^/]") and "//" or match(path, "^//$") or match(path, "^/") or ""
    for part in gmatch(path, "[^/]+") do
        if part == ".." and #out > 0 and out[#out] ~= ".." then
            out[#out] = nil
        elseif part ~= "." then
            out[#out + 1] = part
        end
    end
    local text = anchor .. concat(out, "/")
    return text ~= "" and text or "."
end


--- The absolute path, seen from a folder.
-- @tparam string path
-- @tparam[opt] string folder otherwise the working directory
function _M.abspath(path, folder)
    path = gsub(path, "[\\/]$", "")
    if not _M.isabs(path) then
        path = _M.join(folder or _M.currentdir(), path)
    end
    return _M.normpath(path)
end


--- Folder and name.
function _M.splitpath(path)
    local folder, name = match(path, "^(.*)/([^/]*)$")
    if not folder then
        return "", path
    end
    return folder, name
end


--- Path without extension, and the extension with its dot.
function _M.splitext(path)
    local base, extension = match(path, "^(.*)(%.[^./]*)$")
    return base or path, extension or ""
end


function _M.dirname(path)
    return (_M.splitpath(path))
end


function _M.basename(path)
    local _, name = _M.splitpath(path)
    return name
end


function _M.extension(path)
    local _, extension = _M.splitext(path)
    return extension
end


-- A function that tells one thing of what a path leads to, nil if nothing is there.
local function telling(name)
    return function(path)
        return (lfs.attributes(path, name))
    end
end


_M.getsize = telling("size")
_M.getatime = telling("access")
_M.getmtime = telling("modification")
_M.getctime = telling("change")

--- What a path leads to, and what the path itself is; as `lfs.attributes`.
_M.attrib = lfs.attributes
_M.link_attrib = lfs.symlinkattributes
_M.chdir = lfs.chdir

--- Walks over the names in a folder.
_M.dir = lfs.dir


--- The path if something is there, else false.
function _M.exists(path)
    return lfs.attributes(path, "mode") ~= nil and path
end


function _M.isdir(path)
    return lfs.attributes(gsub(path, "(.)/+$", "%1"), "mode") == "directory"
end


function _M.isfile(path)
    return lfs.attributes(path, "mode") == "file"
end


function _M.islink(path)
    return lfs.symlinkattributes(path, "mode") == "link"
end


--- The path as the system compares paths: as it is.
function _M.normcase(path)
    return path
end


--- A path as seen from a folder, the working directory if none is given.
function _M.relpath(path, folder)
    local from, to = {}, {}
    for part in gmatch(folder or _M.currentdir(), "[^/]+") do
        from[#from + 1] = part
    end
    for part in gmatch(_M.abspath(path, folder), "[^/]+") do
        to[#to + 1] = part
    end
    local same = 0
    while same < #from and from[same + 1] == to[same + 1] do
        same = same + 1
    end
    local out = {}
    for _ = same + 1, #from do
        out[#out + 1] = ".."
    end
    for i = same + 1, #to do
        out[#out + 1] = to[i]
    end
    return concat(out, "/")
end


--- A path with the home directory instead of a "~" at its begin.
function _M.expanduser(path)
    return sub(path, 1, 1) == "~" and os.getenv("HOME") .. sub(path, 2) or path
end


_M.tmpname = os.tmpname


--- The folder that two paths have in common.
function _M.common_prefix(first, second)
    if #first > #second then
        first, second = second, first
    end
    local size = 0
    while size < #first and sub(first, size + 1, size + 1) == sub(second, size + 1, size + 1) do
        size = size + 1
    end
    local common = sub(first, 1, size)
    local whole = size == #first and sub(second, size + 1, size + 1) == "/"
    if whole then
        return common
    elseif size < #first and sub(common, -1) == "/" then
        return common
    end
    return _M.dirname(common)
end


--- Where a module's file is, and whether it is one of Lua.
-- @treturn string|nil
-- @treturn boolean|string
function _M.package_path(name)
    for _, list in ipairs({ "path", "cpath" }) do
        local found = package.searchpath(name, package[list])
        if found then
            return found, list == "path"
        end
    end
    return nil, "cannot find module on path"
end


--- Makes a folder.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.mkdir(path)
    return result(C.mkdir(path, MODE))
end


function _M.rmdir(path)
    return result(C.rmdir(path))
end


-- What takes one path wants it to be a text.
for _, name in ipairs({ "splitpath", "basename", "isdir", "isfile", "exists", "normpath" }) do
    local func = _M[name]
    _M[name] = function(path)
        if type(path) ~= "string" then
            error("argument 1 expected a 'string' got a '" .. type(path) .. "'", 2)
        end
        return func(path)
    end
end


return _M
