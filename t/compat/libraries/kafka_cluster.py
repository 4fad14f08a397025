#!/usr/bin/env python3
"""Three brokers of Kafka in one process: `kafka_cluster.py PORT`.

What goes over the wire is read and written by Debian's python3-kafka (its protocol and its records;
see `libs --get`), not by code of ours. The topic "test" has four partitions, led by the brokers
1, 2, 3 and 2; broker 1 listens on PORT. A client that begins with a letter, not with the length of a
request, sends one line of these and gets one line back:

    reset             everything as at the start
    log               the messages: [partition, broker, key, value, format, acks]
    requests          how many produce requests came
    connections       how many connections broker 1 took
    stop N, start N   a broker goes, with its connections, and comes back
    error CODE COUNT  the next requests to produce are refused
    drop COUNT        the next requests to produce end their connections
    delay MS COUNT    the next requests to produce wait for their answers
"""

import io
import json
import socket
import struct
import sys
import threading
import time

from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from kafka.protocol.produce import ProduceRequest, ProduceResponse
from kafka.record.memory_records import MemoryRecords

LEADERS = (1, 2, 3, 2)
LOCK = threading.RLock()
NOT_LEADER, UNKNOWN_TOPIC, CORRUPT = 6, 3, 2


class State:
    """What the brokers keep, and how they shall behave."""

    def __init__(self):
        self.log, self.requests, self.connections = [], 0, 0
        self.errors, self.drops, self.delays = [], 0, []


class Broker:
    """A broker; its port stays its own when it is stopped."""

    def __init__(self, number, port):
        self.number, self.clients = number, set()
        self.listener = None
        self.port = self.start(port)

    def start(self, port):
        """Listens; the port."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self.listener.getsockname()[1]

    def stop(self):
        """Ends the listener and all connections."""
        # A listener that another thread waits at is not closed before that thread has gone.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with LOCK:
            for client in self.clients:
                try:
                    client.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # It has gone by itself.
                    pass
        self.listener = None

    def accept(self, listener):
        """Serves those that come."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        """One connection."""
        stream = client.makefile("rb")
        with LOCK:
            self.clients.add(client)
        try:
            first = stream.peek(1)[:1]
            if first.isalpha():
                client.sendall(json.dumps(command(stream.readline().decode().split())).encode() + b"\n")
                return
            with LOCK:
                CLUSTER.connections += self.number == 1
            while len(head := stream.read(4)) == 4:
                answer = self.answer(stream.read(struct.unpack(">i", head)[0]))
                if answer is False:
                    return
                if answer:
                    client.sendall(struct.pack(">i", len(answer)) + answer)
        except OSError:
            pass
        finally:
            with LOCK:
                self.clients.discard(client)
            client.close()

    def answer(self, request):
        """The answer to a request: nothing if none is wanted, False for the connection's end."""
        key, version, correlation, size = struct.unpack_from(">hhih", request)
        body = io.BytesIO(request[10 + size:])
        if key == 3:
            answer = metadata(MetadataRequest[version].decode(body).topics)
        else:
            asked = ProduceRequest[version].decode(body)
            answer = self.produce(asked, version)
            # Nobody is told about what nobody waits for.
            if not answer or asked.required_acks == 0:
                return answer and None
        return struct.pack(">i", correlation) + answer.encode()

    def produce(self, asked, version):
        """Keeps messages; False if the connection shall end."""
        with LOCK:
            CLUSTER.requests += 1
            if CLUSTER.drops:
                CLUSTER.drops -= 1
                return False
            delay = CLUSTER.delays.pop(0) if CLUSTER.delays else 0
            error = CLUSTER.errors.pop(0) if CLUSTER.errors else 0
            topics = [(topic, [(number, *self.keep(topic, number, data, asked.required_acks, error),
                                *([-1] * (version == 2))) for number, data in partitions])
                      for topic, partitions in asked.topics]
        time.sleep(delay)
        return ProduceResponse[version](topics, *([0] * (version > 0)))

    def keep(self, topic, number, data, acks, error):
        """The error and the offset for one partition's messages."""
        if topic != "test":
            return UNKNOWN_TOPIC, -1
        if LEADERS[number] != self.number:
            return NOT_LEADER, -1
        if error:
            return error, -1
        offset, found, records = sum(one[0] == number for one in CLUSTER.log), [], MemoryRecords(data)
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                return CORRUPT, -1
            for record in batch:
                key = record.key and record.key.decode("latin-1")
                found.append((number, self.number, key, record.value.decode("latin-1"),
                              int(record.timestamp is not None), acks))
        if records.valid_bytes() != len(data):
            return CORRUPT, -1
        CLUSTER.log.extend(found)
        return 0, offset


def metadata(names):
    """Who leads what; brokers that are down are not named."""
    alive = [(one.number, "127.0.0.1", one.port) for one in BROKERS if one.listener]
    ids = [one[0] for one in alive]
    partitions = [(0 if leader in ids else 5, number, leader if leader in ids else -1, [leader], [leader])
                  for number, leader in enumerate(LEADERS)]
    return MetadataResponse[0](alive, [(0, name, partitions) if name == "test"
                                       else (UNKNOWN_TOPIC, name, []) for name in names])


def command(words):
    """Does what a line asks for."""
    global CLUSTER  # pylint: disable=global-statement
    name, numbers = words[0], [int(word) for word in words[1:]]
    if name in ("log", "requests", "connections"):
        return getattr(CLUSTER, name)
    if name == "reset":
        CLUSTER = State()
        for broker in BROKERS:
            if not broker.listener:
                broker.start(broker.port)
    elif name == "stop":
        BROKERS[numbers[0] - 1].stop()
    elif name == "start":
        BROKERS[numbers[0] - 1].start(BROKERS[numbers[0] - 1].port)
    elif name == "drop":
        CLUSTER.drops = numbers[0]
    elif name == "error":
        CLUSTER.errors = [numbers[0]] * numbers[1]
    elif name == "delay":
        CLUSTER.delays = [numbers[0] / 1000] * numbers[1]
    else:
        return "no such command"
    return "done"


CLUSTER, BROKERS = State(), []

if __name__ == "__main__":
    for broker_number in (2, 3):
        BROKERS.append(Broker(broker_number, 0))
    # The others are there when somebody reaches this one.
    BROKERS.insert(0, Broker(1, int(sys.argv[1])))
    threading.Event().wait()
