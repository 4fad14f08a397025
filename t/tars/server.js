// A TARS server of npm's @tars/rpc for Types.tars: `node server.js PORT [ADDRESS]`. The classes are
// what its code generator would make of the file, made from a table here. Prints a line when it
// listens and one for every note.
"use strict";

const stream = require("@tars/stream");
const rpc = require("@tars/rpc");

const SUCCESS = rpc.error.SUCCESS;

// Readers and writers by type; a long is a string, or its last digits would be lost.
const TYPES = {
    bool: ["readBoolean", "writeBoolean", false],
    byte: ["readInt8", "writeInt8", 0],
    short: ["readInt16", "writeInt16", 0],
    int: ["readInt32", "writeInt32", 0],
    float: ["readFloat", "writeFloat", 0],
    double: ["readDouble", "writeDouble", 0],
    string: ["readString", "writeString", ""],
    ubyte: ["readUInt8", "writeUInt8", 0],
    ushort: ["readUInt16", "writeUInt16", 0],
    uint: ["readUInt32", "writeUInt32", 0],
};

function read(is, tag, required, type, fallback) {
    if (type === "long") {
        return is.readInt64(tag, required, fallback === undefined ? "0" : fallback, true);
    }
    if (typeof type === "string") {
        const [reader, , zero] = TYPES[type];
        return is[reader](tag, required, fallback === undefined ? zero : fallback);
    }
    const method = { list: "readList", map: "readMap", struct: "readStruct", bytes: "readBytes" };
    return is[method[type.kind]](tag, required, type.proto);
}

function write(os, tag, type, value) {
    if (type === "long") {
        os.writeInt64(tag, value, true);
    } else if (typeof type === "string") {
        os[TYPES[type][1]](tag, value);
    } else {
        const method =
            { list: "writeList", map: "writeMap", struct: "writeStruct", bytes: "writeBytes" };
        os[method[type.kind]](tag, value);
    }
}

const list = (proto) => ({ kind: "list", proto: stream.List(proto), make: () => new stream.List(proto) });
const map = (key, value) =>
    ({ kind: "map", proto: stream.Map(key, value), make: () => new stream.Map(key, value) });
const struct = (proto) => ({ kind: "struct", proto, make: () => new proto() });
const bytes = { kind: "bytes", proto: stream.BinBuffer, make: () => new stream.BinBuffer() };

// A class as the code generator makes it, from [tag, name, required, type, default] each.
function structure(name, fields) {
    const made = function () {
        for (const [, field, , type, fallback] of fields) {
            const zero = typeof type === "string" ? (type === "long" ? "0" : TYPES[type][2]) : type.make();
            this[field] = fallback === undefined ? zero : fallback;
        }
        this._classname = name;
    };
    made._classname = name;
    made._write = (os, tag, value) => os.writeStruct(tag, value);
    made._read = (is, tag, fallback) => is.readStruct(tag, true, fallback);
    made._readFrom = (is) => {
        const found = new made();
        for (const [tag, field, required, type, fallback] of fields) {
            found[field] = read(is, tag, required, type, fallback);
        }
        return found;
    };
    made.prototype._writeTo = function (os) {
        for (const [tag, field, , type] of fields) {
            write(os, tag, type, this[field]);
        }
    };
    made.prototype._equal = function (other) {
        return fields.every(([, field]) => this[field] === other[field]);
    };
    made.prototype._genKey = function () {
        if (!this._proto_struct_name_) {
            this._proto_struct_name_ = "STRUCT" + Math.random();
        }
        return this._proto_struct_name_;
    };
    made.new = () => new made();
    made.create = (is) => made._readFrom(is);
    return made;
}

const Point = structure("Types.Point", [[0, "x", true, "int"], [1, "y", true, "int"]]);

const All = structure("Types.All", [
    [0, "flag", true, "bool"],
    [1, "b", true, "byte", 7],
    [2, "s", true, "short"],
    [3, "i", true, "int"],
    [4, "l", true, "long"],
    [5, "f", true, "float"],
    [6, "d", true, "double"],
    [7, "str", true, "string"],
    [8, "vi", false, list(stream.Int32)],
    [9, "vb", false, bytes],
    [10, "m", false, map(stream.String, stream.Int32)],
    [11, "p", false, struct(Point)],
    [12, "c", false, "int", 5],
    [13, "ub", false, "ubyte"],
    [14, "us", false, "ushort"],
    [15, "ui", false, "uint"],
    [16, "vp", false, list(Point)],
    [17, "vs", false, list(stream.String)],
    [18, "mp", false, map(Point, stream.List(Point))],
    [19, "mi", false, map(stream.Int32, stream.String)],
    [20, "vvb", false, list(stream.BinBuffer)],
    [21, "vd", false, list(stream.Double)],
    [22, "ms", false, map(stream.String, Point)],
    [23, "vf", false, list(stream.Boolean)],
    [200, "far", false, "int", 3],
]);

// By name: types of the arguments in, each with its tag, and of the results, 0 for what is returned.
const FUNCTIONS = {
    all: { input: [[1, "req", struct(All)]], output: [[0, "", struct(All)], [2, "rsp", struct(All)], [3, "count", "int"]] },
    add: { input: [[1, "a", "long"], [2, "b", "long"]], output: [[0, "", "long"]] },
    hello: { input: [[1, "name", "string"]], output: [[0, "", "string"]] },
    nothing: { input: [], output: [] },
    fail: { input: [[1, "code", "int"]], output: [[0, "", "int"]] },
    note: { input: [[1, "text", "string"]], output: [] },
    slow: { input: [[1, "ms", "int"]], output: [[0, "", "int"]] },
    tars_ping: { input: [], output: [[0, "", "int"]] },
};

function Echo() {}

Echo.prototype.initialize = function () {};

Echo.prototype.onDispatch = function (current, name, buffer) {
    const known = FUNCTIONS[name];
    if (!known) {
        return rpc.error.SERVER.FUNC_NOT_FOUND;
    }
    const version = current.getRequestVersion();
    const isTup = version === stream.Tup.TUP_SIMPLE || version === stream.Tup.TUP_COMPLEX;
    const input = isTup ? tup_arguments(version, buffer, known) : arguments_of(buffer, known);
    const answer = (...values) => {
        if (isTup) {
            current.doResponse(tup_results(version, known, values));
            return;
        }
        const os = new stream.TarsOutputStream();
        known.output.forEach(([tag, , type], at) => write(os, tag, type, values[at]));
        current.doResponse(os.getBinBuffer());
    };
    this[name](current, answer, ...input);
    return SUCCESS;
};

function arguments_of(buffer, known) {
    const is = new stream.TarsInputStream(buffer);
    return known.input.map(([tag, , type]) => read(is, tag, true, type));
}

function attribute(version) {
    const tup = new stream.UniAttribute();
    tup.tupVersion = version;
    return tup;
}

function tup_arguments(version, buffer, known) {
    const tup = attribute(version);
    tup.decode(buffer);
    return known.input.map(([, name, type]) => {
        if (type === "long") {
            return tup.readInt64(name, undefined, true);
        }
        return typeof type === "string" ? tup[TYPES[type][0]](name) : tup.readStruct(name, type.proto);
    });
}

function tup_results(version, known, values) {
    const tup = attribute(version);
    known.output.forEach(([, name, type], at) => {
        if (type === "long") {
            tup.writeInt64(name, values[at], true);
        } else if (typeof type === "string") {
            tup[TYPES[type][1]](name, values[at]);
        } else {
            tup.writeStruct(name, values[at]);
        }
    });
    return tup.encode();
}

// `rsp` is what came, one more in `i`; what is returned has every default.
Echo.prototype.all = function (current, answer, req) {
    req.i += 1;
    answer(new All(), req, req.vi.length);
};

Echo.prototype.add = function (current, answer, a, b) {
    answer(String(BigInt(a) + BigInt(b)));
};

Echo.prototype.hello = function (current, answer, name) {
    const context = current.getContext();
    const user = context.get ? context.get("x-user") : context["x-user"];
    current.setResponseContext({ "x-node": String(process.pid), "x-user": user || "" });
    answer("hello " + name);
};

Echo.prototype.nothing = function (current, answer) {
    answer();
};

Echo.prototype.fail = function (current, answer, code) {
    current.sendErrorResponse(code, "failed as asked");
};

Echo.prototype.note = function (current, answer, text) {
    console.log("note " + text);
    answer();
};

Echo.prototype.slow = function (current, answer, ms) {
    setTimeout(() => answer(ms), ms);
};

Echo.prototype.tars_ping = function (current, answer) {
    answer(0);
};

module.exports = { All, Point, FUNCTIONS, read, write };

if (require.main === module) {
    const option = new rpc.server.BindAdapterOption();
    option.endpoint = `tcp -h ${process.argv[3] || "127.0.0.1"} -p ${process.argv[2]} -t 10000`;
    option.name = "Types.EchoServer.EchoObjAdapter";
    option.servant = "Types.EchoServer.EchoObj";
    option.handleImp = Echo;
    rpc.server.createServer().start(option);
    setTimeout(() => console.log("listens"), 300);
}
