#!/usr/bin/env python3
"""Heads of tRPC frames written by the protobuf library, for the Rust tests to compare with.

    t/trpc/heads.py              prints t/fixtures/trpc_heads.json
    t/trpc/heads.py --check      whether that file, and the recorded frames beside it, are what
                                 the library writes

Needs the library: apt-get install python3-protobuf, or pip install protobuf.
"""
import json
import random
import struct
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
UINT32, INT32, BYTES, STRING, MESSAGE = 13, 5, 12, 9, 11
FIELDS = {
    "RequestProtocol": [
        ("version", 1, UINT32), ("call_type", 2, UINT32), ("request_id", 3, UINT32),
        ("timeout", 4, UINT32), ("caller", 5, BYTES), ("callee", 6, BYTES), ("func", 7, BYTES),
        ("message_type", 8, UINT32), ("trans_info", 9, MESSAGE), ("content_type", 10, UINT32),
        ("content_encoding", 11, UINT32), ("attachment_size", 12, UINT32)],
    "ResponseProtocol": [
        ("version", 1, UINT32), ("call_type", 2, UINT32), ("request_id", 3, UINT32),
        ("ret", 4, INT32), ("func_ret", 5, INT32), ("error_msg", 6, BYTES),
        ("message_type", 7, UINT32), ("trans_info", 8, MESSAGE), ("content_type", 9, UINT32),
        ("content_encoding", 10, UINT32), ("attachment_size", 12, UINT32)],
}


def messages():
    file = descriptor_pb2.FileDescriptorProto(name="heads", package="trpc", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, type=kind, label=1)
            if kind == MESSAGE:
                added.label, added.type_name = 3, f".trpc.{name}.TransInfoEntry"
                entry = message.nested_type.add(name="TransInfoEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=STRING, label=1)
                entry.field.add(name="value", number=2, type=BYTES, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    # Debian 12 has a library in which the function was a method.
    make = getattr(message_factory, "GetMessageClass", None) or \
        message_factory.MessageFactory(pool).GetPrototype
    return {name: make(pool.FindMessageTypeByName(f"trpc.{name}")) for name in FIELDS}


def some(source, kind):
    if source.random() < 0.3:
        return None
    if kind == BYTES:
        return source.randbytes(source.choice([0, 1, 5, 130]))
    low, high = (-2**31, 2**31 - 1) if kind == INT32 else (0, 2**32 - 1)
    return source.choice([0, 1, low, high, 127, 128, source.randint(low, high)])


def made(classes):
    source = random.Random(7)
    for at in range(100):
        name = list(FIELDS)[at % 2]
        message, values = classes[name](), {}
        for field, _, kind in FIELDS[name]:
            if kind == MESSAGE:
                for _ in range(source.choice([0, 0, 1, 3])):
                    key = source.choice(["", "uid", "trpc-env", "schlüssel", "a" * 200])
                    message.trans_info[key] = source.randbytes(source.choice([0, 3, 200]))
                values[field] = sorted((key, value.hex())
                                       for key, value in message.trans_info.items())
                continue
            value = some(source, kind)
            if value is not None:
                setattr(message, field, value)
            value = getattr(message, field)
            values[field] = value.hex() if isinstance(value, bytes) else value
        written = message.SerializeToString(deterministic=True)
        yield {"message": name, "fields": values, "bytes": written.hex()}


def check(classes):
    stored = json.loads((FIXTURES / "trpc_heads.json").read_text())
    heads = json.loads(json.dumps(list(made(classes))))
    assert len(stored) == len(heads) == 100
    for ours, theirs in zip(stored, heads):
        # Versions of the library order metadata differently.
        for head in ours, theirs:
            head["bytes"] = sorted(bytes.fromhex(head["bytes"]))
        assert ours == theirs, ours
    count = 0
    for pair in json.loads((FIXTURES / "trpc_frames.json").read_text()):
        if pair["name"] == "huge total":
            continue  # there is no head behind its header
        for side, name in (("request", "RequestProtocol"), ("response", "ResponseProtocol")):
            frame = bytes.fromhex(pair.get(side) or "")
            if len(frame) < 16 or frame[:2] != b"\x09\x30":
                continue
            size, = struct.unpack_from(">H", frame, 8)
            if len(frame) < 16 + size:
                continue
            head = classes[name].FromString(frame[16:16 + size])
            # A server may write metadata in any order; else there is one way to write a head.
            again = head.SerializeToString(deterministic=True)
            same = sorted if len(head.trans_info) > 1 else bytes
            assert same(again) == same(frame[16:16 + size]), pair["name"]
            count += 1
    print(f"100 made and {count} recorded heads are what the protobuf library writes")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check(messages())
    else:
        print("[\n" + ",\n".join(json.dumps(head) for head in made(messages())) + "\n]")
