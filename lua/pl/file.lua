--- `pl.file`: files read, written, moved.
-- @module pl.file
local path = require("pl.path")
local utils = require("pl.utils")

local os_remove = os.remove
local os_rename = os.rename

local _M = {
    read = utils.readfile,
    write = utils.writefile,
    access_time = path.getatime,
    creation_time = path.getctime,
    modified_time = path.getmtime,
}


--- Removes a file.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.delete(name)
    return os_remove(name)
end


--- Copies a file; what is there already is written over, unless `flag` is true.
-- @treturn boolean
-- @treturn nil|string error
function _M.copy(from, to, flag)
    if flag and path.exists(to) then
        return false, "file exists"
    end
    local text, err = utils.readfile(from, true)
    if not text then
        return false, err
    end
    local ok
    ok, err = utils.writefile(to, text, true)
    return ok or false, err
end


--- Moves a file.
-- @treturn boolean
-- @treturn nil|string error
function _M.move(from, to)
    local ok, err = os_rename(from, to)
    return ok or false, err
end


return _M
