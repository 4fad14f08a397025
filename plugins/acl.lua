--- acl: lets consumers and users pass by their labels.
--
-- Runs in `access`, behind a plugin that authenticates: the labels are those of the consumer,
-- or, of a user whom such a plugin has left in `ctx.external_user`, what JSONPath finds there.
-- Whoever has a label of `deny_labels`, or none of `allow_labels`, gets `rejected_code` and
-- `{"message":"..."}`; a request of nobody gets 401.
--
-- A label has several values: in a list, in a JSON array as text, or in text with commas; for
-- external users the conf may say which it is.
local core = require("apisix.core")
local jsonpath = require("jsonpath")
local split = require("ngx.re").split

local byte = string.byte
local find = string.find
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local type = type

local BRACKET = byte("[")
local NOBODY = 401


local function labels_schema()
    return {
        type = "object",
        minProperties = 1,
        patternProperties = {
            [".*"] = { type = "array", minItems = 1, items = { type = "string" } },
        },
    }
end


local schema = {
    type = "object",
    properties = {
        external_user_label_field = { type = "string", default = "groups", minLength = 1 },
        external_user_label_field_key = { type = "string", minLength = 1 },
        external_user_label_field_parser = {
            type = "string",
            enum = { "segmented_text", "json", "table" },
        },
        external_user_label_field_separator = {
            type = "string",
            minLength = 1,
            description = "a regular expression, for segmented_text",
        },
        allow_labels = labels_schema(),
        deny_labels = labels_schema(),
        rejected_code = { type = "integer", minimum = 200, default = 403 },
        rejected_msg = { type = "string" },
    },
    allOf = { {
        ["if"] = {
            properties = { external_user_label_field_parser = { const = "segmented_text" } },
            required = { "external_user_label_field_parser" },
        },
        ["then"] = { required = { "external_user_label_field_separator" } },
    } },
    anyOf = { { required = { "allow_labels" } }, { required = { "deny_labels" } } },
}

local _M = {
    version = 0.1,
    priority = 2410,
    name = "acl",
    schema = schema,
}


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    local _, problem = jsonpath.parse(conf.external_user_label_field)
    if problem then
        return false, "invalid external_user_label_field: " .. problem
    end
    return true
end


local parsers = {}


function parsers.table(value)
    if type(value) == "table" then
        return value
    end
    return nil, "the parser is specified as table, but the type of value is not table: "
                .. type(value)
end


function parsers.json(value)
    if type(value) ~= "string" then
        return nil, "the parser is specified as json array, but the value type is not string"
    elseif byte(value) ~= BRACKET then
        return nil, "the parser is specified as json array, but the value do not has prefix '['"
    end
    local list, err = core.json.decode(value)
    if type(list) == "table" then
        return list
    end
    return nil, "failed to decode labels [" .. value .. "] as array, err: " .. (err or "no array")
end


function parsers.segmented_text(value, separator)
    if type(value) ~= "string" then
        return nil, "failed to split labels, the value type is not string: " .. type(value)
    end
    local list, err = split(value, "\\s*" .. separator .. "\\s*", "jo")
    if list then
        return list
    end
    return nil, "failed to split labels [" .. value .. "], err: " .. err
end


-- The names of these two stand in the log before what they say.
local function extra_values_with_parser(value, parser, separator)
    local list, problem = parsers[parser](value, separator)
    if not list then
        core.log.warn(problem)
        return {}
    end
    return list
end


local function extra_values_without_parser(value)
    local kind = type(value)
    if kind == "table" then
        return value
    elseif kind ~= "string" then
        core.log.error("unsupported type of label value: ", kind)
        return {}
    end
    local parser = byte(value) == BRACKET and "json"
                   or find(value, ",", 1, true) and "segmented_text"
    if parser then
        local list = extra_values_with_parser(value, parser, ",")
        return list
    end
    core.log.info("the string value can not parsed by json or segmented_text")
    return { value }
end


-- No tail calls: the log would name the caller.
local function values_of(value, parser, separator)
    local list
    if parser then
        list = extra_values_with_parser(value, parser, separator)
    else
        list = extra_values_without_parser(value)
    end
    return list
end


-- Each of several places that JSONPath finds is read by itself. A list among them is one.
local function merged(found, parser, separator)
    local all = {}
    for _, value in ipairs(found) do
        local own = type(value) == "string" and parser or nil
        for _, label in ipairs(values_of(value, own, separator)) do
            all[#all + 1] = label
        end
    end
    return all
end


-- Label -> values of an external user. It has one label: what the path leads to.
local function labels_of_user(conf, user)
    local parser = conf.external_user_label_field_parser
    local separator = conf.external_user_label_field_separator
    local found = jsonpath.query(user, conf.external_user_label_field) or {}
    local key = conf.external_user_label_field_key or conf.external_user_label_field
    if #found > 1 then
        return { [key] = merged(found, parser, separator) }
    elseif found[1] then
        return { [key] = found[1] }, parser, separator
    end
    return {}
end


-- conf labels -> label -> set of values
local sets = setmetatable({}, { __mode = "k" })


local function sets_of(wanted)
    local known = sets[wanted]
    if not known then
        known = {}
        for label, values in pairs(wanted) do
            known[label] = {}
            for _, value in ipairs(values) do
                known[label][value] = true
            end
        end
        sets[wanted] = known
    end
    return known
end


local function has_one_of(wanted, labels, parser, separator)
    for label, set in pairs(sets_of(wanted)) do
        local value = labels[label]
        for _, own in ipairs(value and values_of(value, parser, separator) or {}) do
            if set[own] then
                return true
            end
        end
    end
    return false
end


local function refuse(conf)
    return conf.rejected_code, { message = conf.rejected_msg or "The consumer is forbidden." }
end


function _M.access(conf, ctx)
    local labels, parser, separator
    if ctx.consumer then
        labels = ctx.consumer.labels or {}
    elseif ctx.external_user then
        labels, parser, separator = labels_of_user(conf, ctx.external_user)
    else
        return NOBODY, { message = "Missing authentication." }
    end
    core.log.debug("consumer's or user's labels: ", core.json.delay_encode(labels))

    if conf.deny_labels and has_one_of(conf.deny_labels, labels, parser, separator) then
        return refuse(conf)
    end
    if conf.allow_labels and not has_one_of(conf.allow_labels, labels, parser, separator) then
        return refuse(conf)
    end
end


return _M
