-- Tables of headers whose keys have no case.
-- original: resty.http_headers
local headers = require("resty.http_headers")
local h = headers.new()
case("set", function() h["Content-Type"] = "a" return h["content-type"], h["CONTENT-TYPE"], h.content_type, h["Content-Type"] end)
case("set again", function() h["content-type"] = "b" return h["Content-Type"], h["content-type"] end)
case("underscore", function() h.x_y = "1" return h["X-Y"], h["x-y"], h.x_y, h["x_y"] end)
case("no such", function() return h.none, h["No-Ne"] end)
case("remove", function() h.X_Y = nil return h["x-y"] end)
case("list", function() h["Set-Cookie"] = { "a", "b" } return h["set-cookie"] end)
case("pairs", function() local g = headers.new() g["C-d"] = "2" g["c-D"] = "3" local names = {} for name, value in pairs(g) do names[name] = value end return names end)
case("number as key", function() local g = headers.new() g[1] = "x" return g[1] end)
case("empty", function() return next(headers.new()) end)
