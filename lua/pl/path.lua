--- `pl.path`: the functions of Penlight's path that plugins use, for POSIX.
-- @module pl.path
local concat = table.concat
local ffi = require("ffi")
local gmatch = string.gmatch
local match = string.match
local open = io.open
local select = select
local sub = string.sub

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
    return sub(path, 1, 1) == "/"
end


--- Joins parts; an absolute part begins anew.
function _M.join(...)
    local path = ...
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


--- Takes out "." and ".." and double slashes.
function _M.normpath(path)
    local out = {}
    local absolute = _M.isabs(path)
    for part in gmatch(path, "[^/]+") do
        if part == ".." and #out > 0 and out[#out] ~= ".." then
            out[#out] = nil
        elseif part ~= "." and not (part == ".." and absolute) then
            out[#out + 1] = part
        end
    end
    local text = concat(out, "/")
    if absolute then
        return "/" .. text
    end
    return text ~= "" and text or "."
end


--- The absolute path, seen from a folder.
-- @tparam string path
-- @tparam[opt] string folder otherwise the working directory
function _M.abspath(path, folder)
    if #path > 1 and sub(path, -1) == "/" then
        path = sub(path, 1, -2)
    end
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
    local base, extension = match(path, "^(.+)(%.[^./]*)$")
    if not base or sub(base, -1) == "/" then
        return path, ""
    end
    return base, extension
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


--- The path if something is there, else nil.
function _M.exists(path)
    local file = open(path, "r")
    if not file then
        return nil
    end
    file:close()
    return path
end


-- A folder can be opened, but not read.
local function kind(path)
    local file = open(path, "r")
    if not file then
        return nil
    end
    local _, _, code = file:read(1)
    file:close()
    return code == 21 and "folder" or "file"
end


function _M.isdir(path)
    return kind(path) == "folder"
end


function _M.isfile(path)
    return kind(path) == "file"
end


function _M.islink(path)
    local buf = ffi.new("char[?]", PATH_BYTES)
    return C.readlink(path, buf, PATH_BYTES) >= 0
end


--- Bytes of a file, or nil.
function _M.getsize(path)
    local file = open(path, "r")
    if not file then
        return nil
    end
    local size = file:seek("end")
    file:close()
    return size
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


return _M
