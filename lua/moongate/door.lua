--- The hottest functions of the host as `ffi` calls, which LuaJIT compiles into the code around.
--
-- Mirror of src/lua/raw/door.rs. What is unusual in a call (a missing key, a number as a text, an
-- error) goes to the plain host function, which knows all of OpenResty's answers. Requiring this
-- module puts the functions in place of the plain ones, before anybody else takes those.
-- @module moongate.door
local ffi = require("ffi")
local host = require("moongate.host")

local VERSION = 1
assert(host.door_version == VERSION, "moongate/door.lua is of another version than the gateway")

local floor = math.floor
local new_table = require("table.new")
local sub = string.sub
local type = type

-- A function of one of the host's objects and a text. The row of numbers carries arguments in
-- and results out; nothing that may wait or call Lua comes between the two.
local DOOR = "int32_t (*)(void *, const char *, size_t, double *, size_t)"
local NUMBERS_MAX = 128
local numbers = ffi.new("double[?]", NUMBERS_MAX)


-- Time. The number lies in the host, which sets it to 0 whenever time may have passed.

local moment = ffi.cast("double *", host.moment)
local read_clock = host.time.now


--- Seconds since 1970 with milliseconds; stands still until the code waits.
local function now()
    local seconds = moment[0]
    if seconds == 0 then
        return read_clock()
    end
    return seconds
end

host.time.now = now


--- Whole seconds since 1970.
function host.time.time()
    return floor(now())
end


-- Dictionaries.

local incr = ffi.cast(DOOR, host.dict.incr_door)
local plain_incr = host.dict.methods.incr
local get_dict = host.dict.get
-- The objects that may be handed to `ffi`: nothing else gets there.
local dicts = setmetatable({}, { __mode = "k" })


function host.dict.get(name)
    local dict = get_dict(name)
    if dict ~= nil then
        dicts[dict] = true
    end
    return dict
end


function host.dict.methods.incr(dict, key, value, init, init_ttl)
    if not dicts[dict] or type(key) ~= "string" or type(value) ~= "number"
        or (init ~= nil and type(init) ~= "number")
        or (init_ttl ~= nil and (type(init_ttl) ~= "number" or init == nil or init_ttl < 0))
    then
        return plain_incr(dict, key, value, init, init_ttl)
    end

    numbers[0] = value
    numbers[1] = init and 1 or 0
    numbers[2] = init or 0
    numbers[3] = init_ttl or 0
    if incr(dict, key, #key, numbers, 4) ~= 0 then
        return plain_incr(dict, key, value, init, init_ttl)
    end
    if not init then
        return numbers[0]
    end
    return numbers[0], nil, numbers[1] == 1
end


-- Regular expressions. Compiled patterns are found by their text and option letters.

local PROGRAMS_MAX = 1024

local match = ffi.cast(DOOR, host.re.match_door)
local compile = host.re.program
local plain_match = host.re.match
local plain_find = host.re.find
local no_options = {}
local programs, program_count = { [""] = no_options }, 0


local function remember(pattern, options)
    local object, groups, names = compile(pattern, options)
    if not object or groups * 2 > NUMBERS_MAX then
        return nil
    end

    if program_count >= PROGRAMS_MAX then
        no_options = {}
        programs, program_count = { [""] = no_options }, 0
    end
    if not programs[options] then
        programs[options] = {}
    end
    if next(names) == nil then
        names = nil
    end
    local program = { object = object, groups = groups, names = names }
    programs[options][pattern] = program
    program_count = program_count + 1
    return program
end


local function program_of(pattern, options)
    if type(pattern) ~= "string" then
        return nil
    end
    local by_pattern = no_options
    if options ~= nil then
        if type(options) ~= "string" then
            return nil
        end
        by_pattern = programs[options]
    end
    return by_pattern and by_pattern[pattern] or remember(pattern, options or "")
end


-- Whether the program matches from byte `start` on, counted from 0; nil if the plain function has
-- to be asked. The places of the groups are in `numbers` then.
local function run(program, subject, start)
    numbers[0] = start
    local found = match(program.object, subject, #subject, numbers, program.groups * 2)
    if found < 0 then
        return nil
    end
    return found == 1
end


local function group(subject, index)
    local from = numbers[index * 2]
    if from < 0 then
        return false
    end
    return sub(subject, from + 1, numbers[index * 2 + 1])
end


local function named(result, names)
    for name, index in pairs(names) do
        result[name] = result[index]
    end
    return result
end


function host.re.match(subject, pattern, options, ctx, result)
    local program = program_of(pattern, options)
    if not program or type(subject) ~= "string" or ctx ~= nil
        or (result ~= nil and type(result) ~= "table")
    then
        return plain_match(subject, pattern, options, ctx, result)
    end

    local found = run(program, subject, 0)
    if found == false then
        return nil
    elseif not found then
        return plain_match(subject, pattern, options, ctx, result)
    end

    local groups = program.groups
    if not result then
        result = new_table(groups, 1)
    end
    for index = 0, groups - 1 do
        result[index] = group(subject, index)
    end
    if program.names then
        return named(result, program.names)
    end
    return result
end


function host.re.find(subject, pattern, options, ctx, nth)
    local program = program_of(pattern, options)
    if not program or type(subject) ~= "string" or ctx ~= nil or nth ~= nil then
        return plain_find(subject, pattern, options, ctx, nth)
    end

    local found = run(program, subject, 0)
    if found == false then
        return nil
    elseif not found then
        return plain_find(subject, pattern, options, ctx, nth)
    end
    return numbers[0] + 1, numbers[1]
end
