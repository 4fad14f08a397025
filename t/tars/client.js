// What npm's client library makes of packets that moongate sent: `node client.js` reads a list of
// {function, frame} from its input, frames in hex, and prints a list of {packet, values}.
//
// A version 1 body has the same form in both directions: a value of tag 1 is an argument in a
// request and an out parameter in an answer. So a server in here answers calls of the real client
// with the bodies that moongate made. A TUP answer is a whole request packet: the client's decoder
// gets those as they came.
"use strict";

const net = require("net");
const stream = require("@tars/stream");
const rpc = require("@tars/rpc");
const { tars } = require("@tars/rpc/core/rpc-tars/RequestF.js");
const { All, Point, FUNCTIONS, read } = require("./server.js");

const SERVANT = "Types.EchoServer.EchoObj";

// A value as moongate writes it in JSON.
function plain(value) {
    if (value instanceof All || value instanceof Point) {
        const fields = Object.entries(value).filter(([name]) => !name.startsWith("_"));
        return Object.fromEntries(fields.map(([name, item]) => [name, plain(item)]));
    }
    if (value instanceof stream.BinBuffer) {
        return value.toNodeBuffer().toString("base64");
    }
    if (value !== null && typeof value === "object" && "_kproto" in value) {
        const found = {};
        value.forEach((key, item) => {
            found[key instanceof Point ? JSON.stringify(plain(key)) : String(key)] = plain(item);
        });
        return found;
    }
    if (value !== null && typeof value === "object" && "_proto" in value) {
        return value.value.map(plain);
    }
    return value;
}

function packet_of(frame) {
    if (frame.readUInt32BE(0) !== frame.length) {
        throw new Error(`a frame of ${frame.length} bytes says ${frame.readUInt32BE(0)}`);
    }
    const is = new stream.TarsInputStream(new stream.BinBuffer(frame.subarray(4)));
    return tars.RequestPacket._readFrom(is);
}

function framed(packet) {
    const os = new stream.TarsOutputStream();
    os.setHeaderLength(0);
    packet._writeTo(os);
    os.setHeaderLength(os.getBinBuffer().length);
    return os.getBinBuffer().toNodeBuffer();
}

// Answers the call with number N by the body of packet N.
function mirror(packets) {
    return net.createServer((socket) => {
        let buffer = Buffer.alloc(0);
        socket.on("data", (data) => {
            buffer = Buffer.concat([buffer, data]);
            while (buffer.length >= 4 && buffer.length >= buffer.readUInt32BE(0)) {
                const call = packet_of(buffer.subarray(0, buffer.readUInt32BE(0)));
                buffer = buffer.subarray(buffer.readUInt32BE(0));
                const is = new stream.TarsInputStream(call.sBuffer);
                const answer = new tars.ResponsePacket();
                answer.iVersion = 1;
                answer.iRequestId = call.iRequestId;
                answer.sBuffer = packets[is.readInt32(1, true)].sBuffer;
                socket.write(framed(answer));
            }
        });
        socket.on("error", () => socket.destroy());
    });
}

function Proxy() {
    this._name = undefined;
    this._worker = undefined;
}

Proxy.prototype.fetch = function (number, name) {
    const os = new stream.TarsOutputStream();
    os.writeInt32(1, number);
    return this._worker.tars_invoke("fetch", os.getBinBuffer(), undefined).then((data) => {
        const is = new stream.TarsInputStream(data.response.sBuffer);
        return FUNCTIONS[name].input.map(([tag, , type]) => read(is, tag, true, type));
    });
};

// The attributes of a TUP packet, by the client's own decoder.
function attributes(frame, packet, name) {
    const codec = new rpc.rpcTars.client();
    codec._version = packet.iVersion;
    let tup;
    codec.on("message", (message) => {
        tup = message.origin.tup;
    });
    codec.feed(frame);
    return FUNCTIONS[name].input.map(([, field, type]) => {
        if (type === "long") {
            return tup.readInt64(field, undefined, true);
        }
        return tup.readStruct(field, type.proto);
    });
}

async function main() {
    const sent = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const frames = sent.map((one) => Buffer.from(one.frame, "hex"));
    const packets = frames.map(packet_of);
    const server = mirror(packets);
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    const where = `${SERVANT}@tcp -h 127.0.0.1 -p ${server.address().port} -t 10000`;
    const proxy = rpc.client.stringToProxy(Proxy, where);

    const found = [];
    for (const [at, packet] of packets.entries()) {
        const name = sent[at].function;
        const values = packet.iVersion === 1
            ? await proxy.fetch(at, name)
            : attributes(frames[at], packet, name);
        found.push({
            packet: {
                version: packet.iVersion, type: packet.cPacketType, servant: packet.sServantName,
                function: packet.sFuncName, timeout: packet.iTimeout,
                context: packet.context.toObject(), status: packet.status.toObject(),
            },
            values: Object.fromEntries(
                FUNCTIONS[name].input.map(([, field], n) => [field, plain(values[n])])),
        });
    }
    process.stdout.write(JSON.stringify(found), () => process.exit(0));
}

main().catch((error) => {
    console.error(error.response ? error.response.error : error);
    process.exit(1);
});
