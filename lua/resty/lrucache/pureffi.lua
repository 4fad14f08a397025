--- `resty.lrucache.pureffi`: the same cache; one implementation serves both uses.
-- @module resty.lrucache.pureffi
return require("resty.lrucache")
