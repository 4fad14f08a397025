--- `resty.template`: texts with Lua in them.
--
-- `{{x}}` writes a value escaped for HTML, `{*x*}` as it is, `{% code %}` runs code, `{(file)}`
-- includes a file and `{[x]}` what an expression names, `{# #}` is a comment, `{-raw-}…{-raw-}`
-- stays as it is, `{-name-}…{-name-}` fills a block. Names are looked up in the context, then in
-- this module, then among the globals. A template is Lua: it must not come from a client.
-- @module resty.template
local concat = table.concat
local dump = string.dump
local find = string.find
local format = string.format
local gsub = string.gsub
local io_open = io.open
local loadstring = loadstring
local match = string.match
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

-- The second character of a tag -> what ends it.
local ENDS = { ["{"] = "}}", ["*"] = "*}", ["%"] = "%}", ["("] = ")}", ["["] = "]}", ["#"] = "#}",
               ["-"] = "-}" }

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


local function quoted(text)
    return format("%q", text)
end


local function emit(code, text)
    if text ~= "" then
        code[#code + 1] = "___[#___+1]=" .. quoted(text) .. "\n"
    end
end


-- The backslashes before a tag: whether it is escaped, and how many characters go.
local function escaped(view, at)
    if sub(view, at - 1, at - 1) ~= "\\" then
        return false, 0
    elseif sub(view, at - 2, at - 2) == "\\" then
        return false, 1
    end
    return true, 1
end


local function trimmed(text)
    return match(text, "^%s*(.-)%s*$")
end


-- The end of the text before a tag that stands alone: blanks before it go.
local function before_alone(view, from, at)
    return match(sub(view, from, at - 1), "^(.-)[ \t%z\v]*$")
end


local function after_alone(view, at)
    return sub(view, at, at) == "\n" and at + 1 or at
end


local function include_code(text)
    local name, context = match(text, "^%s*(.-)%s*,%s*(.-)%s*$")
    name = name or trimmed(text)
    name = match(name, "^[\"'](.*)[\"']$") or name
    return "___[#___+1]=include(" .. quoted(name) .. (context and "," .. context or "") .. ")\n"
end


-- Writes the code of one block that begins at `from`; returns where the text goes on.
local function block(code, view, from, name, open_to, start, skip)
    local close = "{-" .. name .. "-}"
    local stop, stop_to = find(view, close, open_to + 1, true)
    if not stop then
        return nil
    end
    if name == "raw" or name == "verbatim" then
        emit(code, sub(view, start, from - 1 - skip))
        emit(code, sub(view, after_alone(view, open_to + 1), stop - 1))
        return after_alone(view, stop_to + 1)
    end
    emit(code, before_alone(view, start, from - skip))
    local inner = sub(view, after_alone(view, open_to + 1), stop - 1)
    inner = before_alone(inner, 1, #inner + 1)
    code[#code + 1] = "blocks[" .. quoted(name) .. "]=include(" .. quoted(inner) .. ")\n"
    return after_alone(view, stop_to + 1)
end


-- Writes the code of a tag of kind `mark` at `from` that ends at `to`; returns where to go on.
local function tag(code, view, from, to, mark, start, skip)
    local inner = sub(view, from + 2, to - 2)
    if mark == "%" or mark == "#" then
        if mark == "#" then
            emit(code, sub(view, start, from - 1 - skip))
        else
            emit(code, before_alone(view, start, from - skip))
            code[#code + 1] = inner .. "\n"
        end
        return after_alone(view, to + 1)
    end
    emit(code, sub(view, start, from - 1 - skip))
    if mark == "{" then
        code[#code + 1] = "___[#___+1]=(template.escape(" .. trimmed(inner) .. "))\n"
    elseif mark == "*" then
        code[#code + 1] = "___[#___+1]=template.output(" .. trimmed(inner) .. ")\n"
    elseif mark == "(" then
        code[#code + 1] = include_code(inner)
    elseif mark == "[" then
        code[#code + 1] = "___[#___+1]=include(" .. inner .. ")\n"
    end
    return to + 1
end


local HEAD = [[
context=... or {}
local include,blocks=include,blocks or {}
local ___,layout={},nil
]]
local TAIL = "return layout and include(layout,setmetatable({view=template.concat(___),"
             .. "blocks=blocks},{__index=context})) or template.concat(___)"


-- The Lua source of a template.
local function source(view)
    local code = { HEAD }
    local start, at = 1, 1
    while true do
        local from = find(view, "{", at, true)
        if not from then
            break
        end
        local mark = sub(view, from + 1, from + 1)
        local ending = ENDS[mark]
        local stop, to
        if ending then
            stop, to = find(view, ending, from + 2, true)
        end
        local hidden, skip = escaped(view, from)
        local name = stop and mark == "-" and match(sub(view, from + 2, stop - 1), "^[^{}\n]+$")
        at = from + 1
        if stop and hidden then
            emit(code, sub(view, start, from - 2))
            start = from
            at = from + 2
        elseif name then
            local after = block(code, view, from, name, to, start, skip)
            start, at = after or start, after or at
        elseif stop and mark ~= "-" then
            start = tag(code, view, from, to, mark, start, skip)
            at = start
        end
    end
    emit(code, sub(view, start))
    code[#code + 1] = TAIL
    return concat(code)
end


local function document_root()
    local ok, root = pcall(function()
        return ngx.var.template_root or ngx.var.document_root
    end)
    return ok and root or nil
end


-- A module, or an instance of it with its own cache.
local function create(options)
    local _M = { _VERSION = "2.0", cache = {}, escape = escape, output = output, concat = concat,
                 print = ngx.print, root = options and options.root,
                 location = options and options.location }
    local caching, kept, visitors = true, 0, nil


    local function read(path)
        local root = _M.root or document_root()
        local file = root and io_open(root .. "/" .. path, "rb") or io_open(path, "rb")
        if not file then
            return nil
        end
        local text = file:read("*a")
        file:close()
        return text
    end


    --- The text of a template: that of the file of this name, or the name itself.
    function _M.load(view, plain)
        if plain == true then
            return view
        end
        return read(view) or view
    end

    function _M.load_string(view)
        return view
    end

    function _M.load_file(view)
        return read(view)
    end


    --- Whether compiled templates are kept; sets it if told.
    function _M.caching(enable)
        if enable ~= nil then
            caching = enable == true
        end
        return caching
    end


    --- Has `func` change every text before it is taken apart.
    function _M.visit(func)
        local before = visitors
        visitors = before and function(text)
            return func(before(text))
        end or func
    end


    --- The Lua source of a template.
    function _M.parse(view, plain)
        local text = _M.load(view, plain)
        if visitors then
            text = visitors(text)
        end
        return source(text)
    end

    function _M.parse_string(view)
        return _M.parse(view, true)
    end

    function _M.parse_file(view)
        return source(assert(_M.load_file(view), "no such file: " .. view))
    end


    local function build(code, name)
        local chunk = assert(loadstring(code, name))
        return function(context)
            local env
            env = setmetatable({ template = _M, blocks = context and context.blocks }, {
                __index = function(_, key)
                    local value = (env.context or {})[key]
                    if value == nil then
                        value = _M[key]
                    end
                    if value == nil then
                        value = _G[key]
                    end
                    return value
                end,
            })
            env.include = function(view, given)
                return _M.process(view, given or env.context)
            end
            env.echo = function(...)
                for i = 1, select("#", ...) do
                    _M.print(output((select(i, ...))))
                end
            end
            return setfenv(chunk, env)(context)
        end
    end


    local function compile(view, key, plain, parse)
        if view == nil then
            error("view was not provided for template.compile(view, cache_key, plain)", 3)
        end
        key = key or view
        local known = key ~= "no-cache" and _M.cache[key]
        if known then
            return known, true
        end
        local made = build(parse(view, plain), "=" .. sub(view, 1, 40))
        if caching and key ~= "no-cache" then
            kept = kept + 1
            if kept > CACHED_MAX then
                _M.cache, kept = {}, 1
            end
            _M.cache[key] = made
        end
        return made, false
    end


    --- Makes a function of a template: it takes a context and returns text.
    -- @tparam string view a file's name, or the text itself
    -- @tparam[opt] string key of the cache; "no-cache" keeps it out
    -- @tparam[opt] boolean plain `view` is text and no file's name
    -- @treturn function
    -- @treturn boolean whether it was in the cache
    -- @raise what Lua finds wrong with it
    function _M.compile(view, key, plain)
        return compile(view, key, plain, _M.parse)
    end

    function _M.compile_string(view, key)
        return compile(view, key, true, _M.parse_string)
    end

    function _M.compile_file(view, key)
        return compile(view, key, false, _M.parse_file)
    end


    for _, kind in ipairs({ "", "_string", "_file" }) do
        local make = _M["compile" .. kind]

        _M["process" .. kind] = function(view, context, key, plain)
            return (make(view, key, plain))(context)
        end

        _M["render" .. kind] = function(view, context, key, plain)
            return _M.print((make(view, key, plain))(context))
        end

        _M["precompile" .. kind] = function(view, path, strip)
            local code = dump(assert(loadstring(_M["parse" .. kind](view))), strip ~= false)
            if path then
                local file = assert(io_open(path, "wb"))
                file:write(code)
                file:close()
            end
            return code
        end
    end


    --- A template as an object, with its fields as context: `view.render()`, `tostring(view)`.
    -- Without a view, or with a table of settings, another instance of this module.
    function _M.new(view, layout)
        if view == nil or (type(view) == "table" and view.view == nil and layout == nil) then
            return create(view)
        end
        local context = {}
        local function process()
            if not layout then
                return _M.process(view, context)
            end
            context.blocks = context.blocks or {}
            context.view = _M.process(view, context)
            if type(layout) == "table" then
                layout.blocks, layout.view = context.blocks, context.view
                return tostring(layout)
            end
            return _M.process(layout, context)
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
