#!/usr/bin/env python3
"""A second process takes the ports over, then SIGTERM to the first (issue 2, done-when 5 b).

    t/live/takeover.py [--short] [--edits 20] [--port 12130] [--workers 0]

64 keep-alive connections and new short ones all the time, N take-overs in a row.
"""

import signal
import subprocess
import time

import rig
from drain import ROUTES


def run(options, gateway):
    gateway.write("conf/apisix.yaml", ROUTES % (gateway.upstream, gateway.upstream))
    rig.start_upstream(gateway.upstream)
    process = gateway.start()
    first = process
    traffic = rig.Traffic(gateway.port, connections=64, sockets=0, pause=options.pause,
                          short=0.003)
    time.sleep(1)
    codes, times = [], []
    for _ in range(options.edits):
        following = gateway.start("--takeover")
        process.send_signal(signal.SIGTERM)
        start = rig.now()
        try:
            codes.append(process.wait(30))
        except subprocess.TimeoutExpired:
            codes.append("still there")
        times.append(rig.now() - start)
        process = following
        time.sleep(0.2)
    pids = gateway.read("logs/nginx.pid").strip()
    without = second_without_takeover(gateway)
    end = traffic.stop()
    assert process is not first
    return traffic, codes, times, end, pids == str(process.pid), without


def second_without_takeover(gateway):
    """Without the flag a taken port is an error that names who has it."""
    ran = subprocess.run([rig.binary(), "-p", gateway.prefix, "start"], capture_output=True,
                         timeout=20, check=False)
    return ran.returncode, (ran.stdout + ran.stderr).decode(errors="replace")


def main():
    options = rig.arguments(__doc__.splitlines()[0], 12130, {"edits": 4}, edits=20, pause=0.02)
    gateway = rig.Gateway(options)
    try:
        traffic, codes, times, end, pid_file, without = run(options, gateway)
        holder = str(gateway.processes[-1].pid)
    finally:
        gateway.stop()
    failed = [row for row in traffic.rows if row[3] not in (200, -1)]
    out = rig.Report(f"{len(codes)} take-overs, {options.workers} workers", options.short)
    out.row("requests", len(traffic.rows))
    out.row("of them on connections of their own", sum(row[0] < 0 for row in traffic.rows))
    out.row("reconnects of told clients", end["reconnects"])
    out.row("failed requests", len(failed), "0", not failed)
    out.row("refused connects", end["refused"], "0", not end["refused"])
    out.row("idle connections reset", end["idle_resets"], "0", not end["idle_resets"])
    out.row("exit codes of the old", sorted(set(map(str, codes))), "['0']", set(codes) == {0})
    out.in_time("longest end of the old", max(times), 6.0, " s")
    out.row("pid file names the new", pid_file, "True", pid_file)
    code, text = without
    told = code == 1 and "address already in use by pid" in text
    out.row("start without --takeover is refused", told, "True", told and holder in text)
    for row in failed[:10]:
        print("failed:", row)
    out.finish()


if __name__ == "__main__":
    main()
