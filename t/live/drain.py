#!/usr/bin/env python3
"""SIGTERM with shutdown_delay under load (issue 2, done-when 5 a).

    t/live/drain.py [--short] [--edits 5] [--port 12120] [--workers 0]

64 keep-alive connections, new short ones all the time and 4 WebSockets; then SIGTERM, N times.
A client that is told `Connection: close` connects anew, as long as the port is open.
"""

import signal
import time

import rig

ROUTES = """routes:
  - id: live
    uris: [/live, /say]
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
  - id: ws
    uri: /ws
    enable_websocket: true
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
#END
"""

DELAY = 2.0


def once(options):
    gateway = rig.Gateway(options, delay=f"{int(DELAY)}s")
    try:
        gateway.write("conf/apisix.yaml", ROUTES % (gateway.upstream, gateway.upstream))
        process = gateway.start()
        traffic = rig.Traffic(gateway.port, connections=64, sockets=4, pause=options.pause,
                              short=0.004, closed_port_ok=True)
        time.sleep(options.seconds)
        process.send_signal(signal.SIGTERM)
        told = rig.now()
        time.sleep(DELAY / 2)
        ready = gateway.get(gateway.status, "/status/ready")
        try:
            process.wait(30)
        except Exception:
            pass
        took = rig.now() - told
        code = process.poll()
        end = traffic.stop()
        announced = [row for row in traffic.rows if row[2] > told]
        return {"failed": [row for row in traffic.rows if row[3] != 200], "resets": end["idle_resets"],
                "closes": end["idle_closes"], "took": took, "code": code, "ready": ready,
                "during": len(announced), "requests": len(traffic.rows),
                "reconnects": end["reconnects"]}
    finally:
        gateway.stop()


def main():
    options = rig.arguments(__doc__.splitlines()[0], 12120, {"edits": 1, "seconds": 1.0}, edits=5,
                            seconds=2.0, pause=0.02)
    rig.start_upstream(options.port + 4)
    runs = [once(options) for _ in range(options.edits)]
    failed = [row for one in runs for row in one["failed"]]
    out = rig.Report(f"SIGTERM with shutdown_delay {DELAY:g} s, {len(runs)} times, "
                     f"{options.workers} workers", options.short)
    out.row("requests", sum(one["requests"] for one in runs))
    out.row("requests after the signal", sum(one["during"] for one in runs), "> 0",
            all(one["during"] for one in runs))
    out.row("reconnects of told clients", sum(one["reconnects"] for one in runs), "> 0",
            all(one["reconnects"] for one in runs))
    out.row("failed requests", len(failed), "0", not failed)
    resets = sum(one["resets"] for one in runs)
    out.row("connections reset", resets, "0", not resets)
    ready = sorted({one["ready"] for one in runs})
    out.row("readiness while it announces", ready, "[503]", ready == [503])
    codes = sorted({str(one["code"]) for one in runs})
    out.row("exit codes", codes, "['0']", codes == ["0"])
    out.row("shortest time to the end", f"{min(one['took'] for one in runs):.2f} s", ">= 2 s",
            min(one["took"] for one in runs) >= DELAY)
    out.in_time("longest time to the end", max(one["took"] for one in runs), 6.0, " s")
    for row in failed[:10]:
        print("failed:", row)
    out.finish()


if __name__ == "__main__":
    main()
