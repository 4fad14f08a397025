--- `lfs`: what LuaFileSystem does, over the C library.
-- @module lfs
local bit = require("bit")
local ffi = require("ffi")

local band = bit.band
local error = error
local format = string.format
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

ffi.cdef[[
    typedef struct { int64_t sec; uint32_t nsec; int32_t pad; } moongate_time;
    typedef struct {
        uint32_t mask, blksize; uint64_t attributes; uint32_t nlink, uid, gid; uint16_t mode, pad;
        uint64_t ino, size, blocks, attributes_mask; moongate_time atime, btime, ctime, mtime;
        uint32_t rdev_major, rdev_minor, dev_major, dev_minor; uint64_t spare[14];
    } moongate_statx;
    typedef struct {
        uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[256];
    } moongate_dirent;
    typedef struct { int64_t actime, modtime; } moongate_utimbuf;
    int statx(int dirfd, const char *path, int flags, unsigned int mask, moongate_statx *out);
    void *opendir(const char *name);
    moongate_dirent *readdir(void *dir);
    int closedir(void *dir);
    char *getcwd(char *buf, size_t size);
    int chdir(const char *path);
    int mkdir(const char *pathname, unsigned int mode);
    int rmdir(const char *pathname);
    int link(const char *from, const char *to);
    int symlink(const char *from, const char *to);
    int utime(const char *path, const moongate_utimbuf *times);
    ssize_t readlink(const char *pathname, char *buf, size_t bufsiz);
    char *strerror(int errnum);
]]

local C = ffi.C
local AT_FDCWD = -100
local NO_FOLLOW = 0x100
local BASIC = 0x7ff
local PATH_BYTES = 4096
local DIRECTORY_MODE = 0x1fd -- 0775

local KINDS = {
    [0x8000] = "file", [0x4000] = "directory", [0xa000] = "link", [0xc000] = "socket",
    [0x1000] = "named pipe", [0x2000] = "char device", [0x6000] = "block device",
}

local _M = { _VERSION = "LuaFileSystem 1.8.0" }


local function failure(what)
    local number = ffi.errno()
    local text = ffi.string(C.strerror(number))
    return nil, what and what .. ": " .. text or text, number
end


local function done(code)
    if code == 0 then
        return true
    end
    return failure()
end


local function permissions(mode)
    local text = ""
    for shift = 8, 0, -1 do
        local char = ("xwr"):sub(shift % 3 + 1, shift % 3 + 1)
        text = text .. (band(mode, bit.lshift(1, shift)) ~= 0 and char or "-")
    end
    return text
end


local FIELDS = {
    dev = function(s)
        local major, minor = s.dev_major, s.dev_minor
        return band(minor, 0xff) + major * 256 + (minor - band(minor, 0xff)) * 4096
    end,
    ino = function(s) return tonumber(s.ino) end,
    mode = function(s) return KINDS[band(s.mode, 0xf000)] or "other" end,
    nlink = function(s) return s.nlink end,
    uid = function(s) return s.uid end,
    gid = function(s) return s.gid end,
    rdev = function(s)
        local major, minor = s.rdev_major, s.rdev_minor
        return band(minor, 0xff) + major * 256 + (minor - band(minor, 0xff)) * 4096
    end,
    access = function(s) return tonumber(s.atime.sec) end,
    modification = function(s) return tonumber(s.mtime.sec) end,
    change = function(s) return tonumber(s.ctime.sec) end,
    size = function(s) return tonumber(s.size) end,
    permissions = function(s) return permissions(s.mode) end,
    blocks = function(s) return tonumber(s.blocks) end,
    blksize = function(s) return s.blksize end,
}


local function stat(path, flags, request)
    local out = ffi.new("moongate_statx")
    if C.statx(AT_FDCWD, path, flags, BASIC, out) ~= 0 then
        local number = ffi.errno()
        return nil, format("cannot obtain information from file '%s': %s", path,
                           ffi.string(C.strerror(number))), number
    end
    if type(request) == "string" then
        local field = FIELDS[request]
        if not field then
            error("invalid attribute name '" .. request .. "'", 3)
        end
        return field(out)
    end
    local found = type(request) == "table" and request or {}
    for name, field in pairs(FIELDS) do
        found[name] = field(out)
    end
    return found
end


--- What a file is; links are followed.
-- @tparam string path
-- @tparam[opt] string|table request one field's name, or a table to fill
-- @treturn table|string|number|nil
-- @treturn nil|string error
-- @treturn nil|number errno
function _M.attributes(path, request)
    return stat(path, 0, request)
end


--- What a link itself is; `target` is where it leads.
function _M.symlinkattributes(path, request)
    if request == "target" then
        local buf = ffi.new("char[?]", PATH_BYTES)
        local length = C.readlink(path, buf, PATH_BYTES)
        if length < 0 then
            return failure("could not obtain link target")
        end
        return ffi.string(buf, length)
    end
    local found, err, number = stat(path, NO_FOLLOW, request)
    if type(found) == "table" and found.mode == "link" then
        found.target = _M.symlinkattributes(path, "target")
    end
    return found, err, number
end


local Dir = {}
Dir.__index = Dir


--- The next name, nil at the end.
function Dir:next()
    if self.closed then
        error("closed directory", 2)
    end
    local entry = C.readdir(self.handle)
    if entry == nil then
        self:close()
        return nil
    end
    return ffi.string(entry.name)
end


function Dir:close()
    if not self.closed then
        self.closed = true
        C.closedir(ffi.gc(self.handle, nil))
    end
end


--- Walks over the names in a directory, "." and ".." too.
-- @raise if it cannot be opened
function _M.dir(path)
    local handle = C.opendir(path)
    if handle == nil then
        local text = ffi.string(C.strerror(ffi.errno()))
        error(format("cannot open %s: %s", tostring(path), text), 2)
    end
    return Dir.next, setmetatable({ handle = ffi.gc(handle, C.closedir) }, Dir)
end


function _M.currentdir()
    local buf = ffi.new("char[?]", PATH_BYTES)
    if C.getcwd(buf, PATH_BYTES) == nil then
        return failure("get_dir getcwd() failed")
    end
    return ffi.string(buf)
end


--- Changes the directory of the whole process: every worker's.
function _M.chdir(path)
    if C.chdir(path) ~= 0 then
        return nil, format("Unable to change working directory to '%s'\n%s\n", path,
                           ffi.string(C.strerror(ffi.errno())))
    end
    return true
end


function _M.mkdir(path)
    return done(C.mkdir(path, DIRECTORY_MODE))
end


function _M.rmdir(path)
    return done(C.rmdir(path))
end


--- Makes a hard link, or a symbolic one.
function _M.link(old, new, symbolic)
    return done((symbolic and C.symlink or C.link)(old, new))
end


--- Sets the times of a file, to now if none are given.
function _M.touch(path, access, modified)
    if access == nil then
        return done(C.utime(path, nil))
    end
    local times = ffi.new("moongate_utimbuf")
    times.actime, times.modtime = access, modified or access
    return done(C.utime(path, times))
end


--- On POSIX all files are binary.
function _M.setmode()
    return true, "binary"
end


--- Locks a directory with a link in it that only one can make.
-- @treturn table|nil with a function `free`
-- @treturn nil|string error
function _M.lock_dir(path, stale_seconds)
    local name = path .. "/lockfile.lfs"
    local made = _M.attributes(name, "modification")
    if made and stale_seconds and os.time() - made > stale_seconds then
        os.remove(name)
    end
    if C.symlink("lock", name) ~= 0 then
        return nil, "File exists"
    end
    return { free = function() os.remove(name) end }
end


return require("moongate.unsupported").absent(_M, "lfs.", { "lock", "unlock" },
    "waiting for a lock would hold the worker up")
