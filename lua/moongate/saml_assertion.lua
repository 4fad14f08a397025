--- Whether an assertion is for us, and now; and what it says.
--
-- A signature says who wrote an assertion, not for whom. What the original lets pass and this
-- does not: an assertion needs a bearer confirmation that names our assertion consumer service
-- (`Recipient`), an end (`NotOnOrAfter`) and the request it answers (`InResponseTo`), as section
-- 4.1.4.2 of SAML's profiles wants it; without them, who got hold of an assertion once can log in
-- with it. And all assertions of a response must speak of the same subject.
-- @module moongate.saml_assertion
local messages = require("moongate.saml")

local child = messages.child
local children = messages.children
local concat = table.concat
local floor = math.floor
local ipairs = ipairs
local match = string.match
local text_of = messages.text
local tonumber = tonumber
local trim = messages.trim

local BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
local DAYS_BEFORE = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 }
local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
local LENGTH_MAX = 40

local _M = {}


--- Seconds since 1970 of a time in UTC such as "2026-01-31T23:59:59.5Z", without its fraction.
-- @treturn number|nil
-- @treturn nil|string error
function _M.time(text)
    local year, month, day, hour, minute, second, rest =
        match(text, "^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)(%.?%d*)Z$")
    if not year or rest == "." or #text > LENGTH_MAX then
        return nil, "it is no time in UTC"
    end
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
    local leaps = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
    if year < 1970 or not DAYS[month] or day < 1 or day > DAYS[month]
        or (month == 2 and day == 29 and not leaps) or hour > 23 or minute > 59 or second > 59
    then
        return nil, "there is no such time"
    end
    local before = year - 1
    -- 477 leap years were before 1970.
    local days = (year - 1970) * 365 + floor(before / 4) - floor(before / 100)
        + floor(before / 400) - 477 + DAYS_BEFORE[month] + day - 1
    if leaps and month > 2 then
        days = days + 1
    end
    return ((days * 24 + hour) * 60 + minute) * 60 + second
end


-- Whether it is now between the two times that attributes may have.
local function in_time(attributes, expected)
    local opens, closes, err
    if attributes.NotBefore then
        opens, err = _M.time(attributes.NotBefore)
        if not opens then
            return false, "NotBefore " .. attributes.NotBefore .. " cannot be read: " .. err
        end
    end
    if attributes.NotOnOrAfter then
        closes, err = _M.time(attributes.NotOnOrAfter)
        if not closes then
            return false, "NotOnOrAfter " .. attributes.NotOnOrAfter .. " cannot be read: " .. err
        end
    end
    if opens and closes and opens > closes then
        return false, "NotBefore is after NotOnOrAfter"
    elseif opens and expected.now + expected.skew < opens then
        return false, "it is not valid before " .. attributes.NotBefore
    elseif closes and expected.now - expected.skew >= closes then
        return false, "it is not valid on or after " .. attributes.NotOnOrAfter
    end
    return true
end


-- Whether one of ours is in the restriction.
local function is_for_us(restriction, ours)
    for _, audience in ipairs(children(restriction, "saml", "Audience")) do
        for _, own in ipairs(ours) do
            if trim(audience.text) == own then
                return true
            end
        end
    end
    return false
end


local function conditions_hold(assertion, expected)
    local all = children(assertion, "saml", "Conditions")
    if #all > 1 then
        return false, "it has Conditions more than once"
    elseif #all == 0 then
        return true
    end
    local good, why = in_time(all[1].attributes, expected)
    if not good then
        return false, why
    end
    for _, condition in ipairs(all[1]) do
        local ours = condition.space == "saml"
        if ours and condition.name == "AudienceRestriction" then
            if not is_for_us(condition, expected.audiences) then
                return false, "it is for another audience"
            end
        -- Who must not pass the assertion on need not know what proxies may do with it.
        elseif not ours or condition.name ~= "ProxyRestriction" then
            return false, "it has a condition that cannot be kept: " .. condition.name
        end
    end
    return true
end


-- Why a confirmation does not confirm; nil if it does.
local function unconfirmed(confirmation, expected)
    if confirmation.attributes.Method ~= BEARER then
        return "its method is not bearer"
    end
    local data = child(confirmation, "saml", "SubjectConfirmationData")
    local attributes = data and data.attributes or {}
    if attributes.Recipient ~= expected.acs_url then
        return "its Recipient is " .. (attributes.Recipient or "missing")
    elseif attributes.InResponseTo ~= expected.request_id then
        return "its InResponseTo is " .. (attributes.InResponseTo or "missing")
    elseif not attributes.NotOnOrAfter then
        return "its NotOnOrAfter is missing"
    end
    local good, why = in_time(attributes, expected)
    return not good and why or nil
end


local function subject_confirmed(assertion, expected)
    local whys = {}
    local subject = child(assertion, "saml", "Subject")
    for _, confirmation in ipairs(children(subject, "saml", "SubjectConfirmation")) do
        local why = unconfirmed(confirmation, expected)
        if not why then
            return true
        end
        whys[#whys + 1] = why
    end
    return false, "no confirmation of its subject holds: "
                  .. (whys[1] and concat(whys, "; ") or "there is none")
end


local function acceptable(assertion, expected)
    local good, why = conditions_hold(assertion, expected)
    if good then
        good, why = subject_confirmed(assertion, expected)
    end
    if good and expected.issuers then
        local issuer = trim(text_of(assertion, "Issuer") or "")
        good, why = expected.issuers[issuer] == true, "it is from another issuer: " .. issuer
    end
    return good, why
end


-- Values of an attribute: one as it is, more as a list.
local function values_of(attribute)
    local values = {}
    for _, value in ipairs(attribute) do
        values[#values + 1] = value.text
    end
    if #values > 1 then
        return values
    end
    return values[1] ~= "" and values[1] or nil
end


local function read_statements(found, assertion)
    for _, statement in ipairs(children(assertion, "saml", "AttributeStatement")) do
        for _, attribute in ipairs(children(statement, "saml", "Attribute")) do
            if attribute.attributes.Name then
                found.attrs[attribute.attributes.Name] = values_of(attribute)
            end
        end
    end
    for _, statement in ipairs(children(assertion, "saml", "AuthnStatement")) do
        local attributes = statement.attributes
        found.session_index = found.session_index or attributes.SessionIndex
        found.session_expires = found.session_expires or attributes.SessionNotOnOrAfter
    end
end


--- What the assertions of a response say, if all of them can be accepted.
-- @tparam table response
-- @tparam table expected `acs_url`, `request_id`, `audiences`, `skew` and `now` in seconds;
--   `issuers`, a set, if only those are
-- @treturn table|nil `name_id`, `issuer`, `session_index`, `session_expires`, `attrs`
-- @treturn nil|string why not
function _M.read(response, expected)
    local found = { attrs = {} }
    for _, assertion in ipairs(children(response, "saml", "Assertion")) do
        local good, why = acceptable(assertion, expected)
        if not good then
            return nil, "assertion " .. (assertion.attributes.ID or "") .. ": " .. why
        end
        local name_id = text_of(child(assertion, "saml", "Subject"), "NameID")
        if found.name_id and name_id ~= found.name_id then
            return nil, "its assertions have different subjects"
        end
        found.name_id = name_id
        found.issuer = found.issuer or text_of(assertion, "Issuer")
        read_statements(found, assertion)
    end
    if not found.name_id then
        return nil, "no name id in it"
    end
    return found
end


return _M
