#!/usr/bin/env python3
"""Stands in front of a Redis server and makes it worse: redis_front.py MODE PORT TARGET.

old    answers SET with both NX and GET as servers before version 7 do: a syntax error
lossy  has every other SET or EVAL done and closes the connection instead of passing the answer on

Prints the name of each SET, EVAL and EVALSHA that comes.
"""

import socket
import sys
import threading

WRITES = (b"SET", b"EVAL", b"EVALSHA")
count = 0
lock = threading.Lock()


def line_of(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    return line


def read_reply(file):
    """The bytes of one whole reply."""
    line = line_of(file)
    kind, rest = line[:1], line[1:-2]
    if kind == b"$" and rest != b"-1":
        return line + file.read(int(rest) + 2)
    if kind == b"*" and rest != b"-1":
        return line + b"".join(read_reply(file) for _ in range(int(rest)))
    return line


def read_command(file):
    """The bytes of one command, and its words."""
    line = line_of(file)
    assert line[:1] == b"*", line
    raw, words = line, []
    for _ in range(int(line[1:-2])):
        head = line_of(file)
        word = file.read(int(head[1:-2]) + 2)
        raw, words = raw + head + word, words + [word[:-2]]
    return raw, words


def loses(mode, name):
    global count
    if name not in WRITES:
        return False
    print(name.decode(), flush=True)
    with lock:
        count += 1
        return mode == "lossy" and count % 2 == 1


def serve(mode, client, target):
    try:
        with client, socket.create_connection(("127.0.0.1", target)) as server:
            commands, replies = client.makefile("rb"), server.makefile("rb")
            while True:
                raw, words = read_command(commands)
                name = words[0].upper()
                is_lost = loses(mode, name)
                options = {word.upper() for word in words[3:]}
                if mode == "old" and name == b"SET" and {b"NX", b"GET"} <= options:
                    client.sendall(b"-ERR syntax error\r\n")
                    continue
                server.sendall(raw)
                reply = read_reply(replies)
                if is_lost:
                    # The file keeps the socket open; this ends it at once.
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(reply)
    except (EOFError, OSError):
        pass


def main():
    mode, port, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    assert mode in ("old", "lossy"), mode
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(mode, client, target), daemon=True).start()


main()
