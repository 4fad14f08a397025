--- `resty.template`: texts with Lua in them.
--
-- `{{x}}` writes a value escaped for HTML, `{*x*}` as it is, `{% code %}` runs code, `{(file)}`
-- includes a file and `{[x]}` what an expression names, `{# #}` is a comment, `{-raw-}…{-raw-}`
-- stays as it is, `{-name-}…{-name-}` fills a block. Names are looked up in the context, then in
-- this module, then among the globals. A template is Lua: it must not come from a client.
-- @module resty.template
local source = require("moongate.template_source")

local concat = table.concat
local dump = string.dump
local gsub = string.gsub
local io_open = io.open
local loadstring = loadstring
local null = ngx.null
local pcall = pcall
local setfenv = setfenv
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
                   ["'"] = "&#39;", ["/"] = "&#47;" }
local CODE_ENTITIES = { ["{"] = "&#123;", ["}"] = "&#125;" }
for char, entity in pairs(ENTITIES) do
    CODE_ENTITIES[char] = entity
end

-- How many compiled templates are kept; they come from configuration.
local CACHED_MAX = 1000


--- What `{* *}` writes: a function is asked first, nothing and null are empty.
local function output(value)
    local kind = type(value)
    if value == nil or value == null then
        return ""
    elseif kind == "function" then
        return output(value())
    end
    return tostring(value)
end


--- What `{{ }}` writes.
-- @tparam any value
-- @tparam[opt] boolean code also escape braces
local function escape(value, code)
    if type(value) == "string" then
        return gsub(value, code and "[}{\">/<'&]" or "[\">/<'&]",
                    code and CODE_ENTITIES or ENTITIES)
    end
    return output(value)
end


local function document_root()
    local ok, root = pcall(function()
        return ngx.var.template_root or ngx.var.document_root
    end)
    return ok and root or nil
end


local function read(self, path)
    local root = self.root or document_root()
    local file = root and io_open(root .. "/" .. path, "rb") or io_open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end


-- Where a template's names are looked up.
local function environment(self, context)
    local env
    env = setmetatable({ template = self, blocks = context and context.blocks }, {
        __index = function(_, key)
            local value = (env.context or {})[key]
            if value == nil then
                value = self[key]
            end
            if value == nil then
                value = _G[key]
            end
            return value
        end,
    })
    env.include = function(view, given)
        return self.process(view, given or env.context)
    end
    env.echo = function(...)
        for i = 1, select("#", ...) do
            self.print(output((select(i, ...))))
        end
    end
    return env
end


local function build(self, code, name)
    local chunk = assert(loadstring(code, name))
    return function(context)
        return setfenv(chunk, environment(self, context))(context)
    end
end


local function compile(self, state, view, key, plain, parse)
    if view == nil then
        error("view was not provided for template.compile(view, cache_key, plain)", 3)
    end
    key = key or view
    local known = key ~= "no-cache" and self.cache[key]
    if known then
        return known, true
    end
    local made = build(self, parse(view, plain), "=" .. sub(view, 1, 40))
    if state.caching and key ~= "no-cache" then
        state.kept = state.kept + 1
        if state.kept > CACHED_MAX then
            self.cache, state.kept = {}, 1
        end
        self.cache[key] = made
    end
    return made, false
end


local function add_sources(lib, state)
    --- The text of a template: that of the file of this name, or the name itself.
    function lib.load(view, plain)
        if plain == true then
            return view
        end
        return read(lib, view) or view
    end

    function lib.load_string(view)
        return view
    end

    function lib.load_file(view)
        return assert(read(lib, view), "no such file: " .. view)
    end

    --- Has `func` change every text before it is taken apart.
    function lib.visit(func)
        local before = state.visit
        state.visit = before and function(text)
            return func(before(text))
        end or func
    end

    --- The Lua source of a template.
    function lib.parse(view, plain)
        local text = lib.load(view, plain)
        if state.visit then
            text = state.visit(text)
        end
        return source(text)
    end

    function lib.parse_string(view)
        return lib.parse(view, true)
    end

    function lib.parse_file(view)
        return source(lib.load_file(view))
    end
end


local function add_compilers(lib, state)
    --- Whether compiled templates are kept; sets it if told.
    function lib.caching(enable)
        if enable ~= nil then
            state.caching = enable == true
        end
        return state.caching
    end

    --- Makes a function of a template: it takes a context and returns text.
    -- @tparam string view a file's name, or the text itself
    -- @tparam[opt] string key of the cache; "no-cache" keeps it out
    -- @tparam[opt] boolean plain `view` is text and no file's name
    -- @treturn function
    -- @treturn boolean whether it was in the cache
    -- @raise what Lua finds wrong with it
    function lib.compile(view, key, plain)
        return compile(lib, state, view, key, plain, lib.parse)
    end

    function lib.compile_string(view, key)
        return compile(lib, state, view, key, true, lib.parse_string)
    end

    function lib.compile_file(view, key)
        return compile(lib, state, view, key, false, lib.parse_file)
    end

    for _, kind in ipairs({ "", "_string", "_file" }) do
        local make = lib["compile" .. kind]

        lib["process" .. kind] = function(view, context, key, plain)
            return (make(view, key, plain))(context)
        end

        lib["render" .. kind] = function(view, context, key, plain)
            return lib.print((make(view, key, plain))(context))
        end

        lib["precompile" .. kind] = function(view, path, strip)
            local code = dump(assert(loadstring(lib["parse" .. kind](view))), strip ~= false)
            if path then
                local file = assert(io_open(path, "wb"))
                file:write(code)
                file:close()
            end
            return code
        end
    end
end


-- A view with a layout around it, or without.
local function view_text(self, context, view, layout)
    if not layout then
        return self.process(view, context)
    end
    context.blocks = context.blocks or {}
    context.view = self.process(view, context)
    if type(layout) == "table" then
        layout.blocks, layout.view = context.blocks, context.view
        return tostring(layout)
    end
    return self.process(layout, context)
end


-- A module, or an instance of it with its own cache.
local function create(options)
    local _M = { _VERSION = "2.0", cache = {}, escape = escape, output = output, concat = concat,
                 print = ngx.print, root = options and options.root,
                 location = options and options.location }
    local state = { caching = true, kept = 0 }
    add_sources(_M, state)
    add_compilers(_M, state)


    --- A template as an object, with its fields as context: `view.render()`, `tostring(view)`.
    -- Without a view, or with a table of settings, another instance of this module.
    function _M.new(view, layout)
        if view == nil or (type(view) == "table" and view.view == nil and layout == nil) then
            return create(view)
        end
        local context = {}
        local function process()
            return view_text(_M, context, view, layout)
        end
        function context.render(given)
            if given then
                context = setmetatable(given, { __index = context })
            end
            return _M.print(process())
        end
        context.process = process
        return setmetatable(context, { __tostring = process })
    end


    return _M
end


return create()
