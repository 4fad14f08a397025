--- `flatbuffers`: tables in bytes, as runners of other languages exchange them.
--
-- Written and read are tables of numbers, texts, vectors and unions; structs are not.
-- @module flatbuffers
return {
    Builder = require("flatbuffers.builder").New,
    N = require("flatbuffers.numTypes"),
    binaryArray = require("flatbuffers.binaryarray"),
    view = require("flatbuffers.view"),
}
