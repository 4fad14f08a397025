--- `opentracing`: the door to the modules of this family.
-- @module opentracing
return { new_tracer = require("opentracing.tracer").new, VERSION = "0.0.2" }
