#!/usr/bin/env python3
"""The embedded store goes from one process to the next while everybody goes on (issue 5).

    t/store/handover.py [--short] [--rounds 10] [--port 12440]

Clients send requests and one writes by the Admin API all the time. Again and again a second gateway
is started with --takeover and the first one ended; then `moongate config --takeover` borrows the
store of one that runs. No request may fail, and nothing that was acknowledged may be lost.
"""

import argparse
import http.client
import json
import signal
import subprocess
import threading
import time

from place import Place, Report
import rig


def route(path, upstream):
    return {"uri": path, "upstream": {"type": "roundrobin", "nodes": {f"127.0.0.1:{upstream}": 1}}}


class Writer(threading.Thread):
    """Puts one new route after the other; what is not answered with success is put again."""

    def __init__(self, place, upstream):
        super().__init__(daemon=True)
        self.place, self.upstream = place, upstream
        self.acknowledged, self.refused, self.odd, self.stopping = [], 0, [], False

    def run(self):
        at = 0
        while not self.stopping:
            try:
                status, body = self.place.put(f"routes/w{at}", route(f"/w/{at}", self.upstream))
            except (OSError, http.client.HTTPException) as error:
                status, body = 0, repr(error)
            if status in (200, 201):
                self.acknowledged.append(at)
                at += 1
                time.sleep(0.005)
                continue
            self.refused += 1
            if status not in (0, 503):
                self.odd.append((status, body))
            time.sleep(0.02)

    def more(self, count, patience=60):
        """Waits until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        end = time.monotonic() + patience
        while len(self.acknowledged) < wanted and time.monotonic() < end:
            time.sleep(0.02)
        return len(self.acknowledged) >= wanted


def eventually(what, patience=60):
    end = time.monotonic() + patience
    while not (good := what()) and time.monotonic() < end:
        time.sleep(0.05)
    return good


def owner(place):
    return place.read("data/moongate.lock").split("\n")[0]


def lost(place, writer):
    """Acknowledged routes that the store or the workers do not have."""
    routes = json.loads(place.good("export", "--format", "json")).get("routes", [])
    stored = {route["id"] for route in routes}
    gone = [at for at in writer.acknowledged if f"w{at}" not in stored]
    step = max(1, len(writer.acknowledged) // 50)
    return gone + [at for at in writer.acknowledged[::step] if place.ask(f"/w/{at}")[0] != 200]


def rounds(report, place, writer, count):
    process = place.processes[0]
    codes, went_on = [], []
    for _ in range(count):
        following = place.start("--takeover")
        process.send_signal(signal.SIGTERM)
        try:
            codes.append(process.wait(60))
        except subprocess.TimeoutExpired:
            codes.append("still there")
        process = following
        went_on.append(writer.more(20))
    report.equal(f"{count} take-overs, each old process ends with", set(codes), {0})
    report.check("writes go on after each", all(went_on), went_on)
    report.equal("the last one has the store", owner(place), str(process.pid))
    return process


def borrowed(report, place, process, upstream, writer):
    """`moongate config --takeover` beside a gateway that runs."""
    text = json.dumps({"routes": [dict(route("/borrowed", upstream), id="borrowed")]}).encode()
    place.good("--takeover", "import", "--merge", "-", stdin=text)
    report.check("writes go on after a command had the store", writer.more(20), writer.odd)
    served = eventually(lambda: place.ask("/borrowed")[0] == 200)
    report.check("what the command wrote is served", served)
    who = [one["who"] for one in json.loads(place.good("history", "--json", "--limit", "1000"))["revisions"]]
    report.check("the history has both", {"admin", "moongate config"} <= set(who), set(who))
    report.equal("the gateway has the store again", owner(place), str(process.pid))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="two take-overs")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--port", type=int, default=12440, help="first of 10 ports")
    options = parser.parse_args()
    report, upstream = Report(), options.port + 5
    rig.start_upstream(upstream)
    place = Place(options.port)
    try:
        process = place.start()
        live = route("/live", upstream)
        # Connections that are used once ask for /say.
        place.put("routes/live", {"uris": ["/live", "/say"], "upstream": live["upstream"]})
        report.check("it serves", eventually(lambda: place.ask("/live")[0] == 200))
        traffic = rig.Traffic(options.port, connections=32, sockets=0, pause=0.02, short=0.005,
                              paths=("/live",))
        writer = Writer(place, upstream)
        writer.start()
        report.check("writes begin", writer.more(20), writer.odd)
        process = rounds(report, place, writer, 2 if options.short else options.rounds)
        borrowed(report, place, process, upstream, writer)
        writer.stopping = True
        writer.join(60)
        end = traffic.stop()
        failed = [row for row in traffic.rows if row[3] not in (200, -1)]
        report.equal(f"{len(traffic.rows)} requests, failed", failed[:5], [])
        report.equal("refused connections and resets", (end["refused"], end["idle_resets"]), (0, 0))
        report.equal(f"{len(writer.acknowledged)} writes, {writer.refused} put again, lost",
                     lost(place, writer), [])
        report.equal("answers to writes but success and 503", writer.odd, [])
    finally:
        place.close()
    report.finish()


if __name__ == "__main__":
    main()
