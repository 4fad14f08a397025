#!/usr/bin/env python3
"""Full disks: the gateway serves on, counts what it drops, and stays within its cap.

/dev/full stands in for a full disk. Then 1 MiB is all that logs may take, while far more is written.
"""

import asyncio
import os
import time

import lib

OBJECTS = """routes:
  - id: ok
    uri: /ok
    plugins: {mocking: {content_type: text/plain, response_example: ok}}
  - id: noisy
    uri: /noisy
    plugins:
      serverless-pre-function:
        phase: access
        functions: ["return function() ngx.log(ngx.ERR, string.rep('n', 1000)) ngx.exit(200) end"]
"""


async def load(port, seconds, path="/ok", clients=16):
    """Requests per second, failures and p99 of closed-loop clients."""
    neighbours = lib.Neighbours(port, clients, path)
    await neighbours.start()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    done = neighbours.since(began)
    await neighbours.stop()
    return len(done) / seconds, neighbours.failures, lib.percentile(done, 0.99)


async def full(report, args, name, config):
    """A log on a full disk from the start."""
    gateway = lib.Gateway(lib.port_base(30), OBJECTS, **config).start()
    cpu = gateway.cpu()
    rate, failures, p99 = await load(gateway.http, 2 if args.short else 5)
    await load(gateway.http, 1, "/noisy")
    report.check("%s: serves on" % name, rate > (0 if args.short else 500) and not failures,
                 "%.0f/s, p99 %.1f ms %s" % (rate, 1000 * p99, failures[:1]))
    rss = gateway.rss()
    report.check("%s: memory is bounded" % name, rss < 150, "%.0f MiB" % rss)
    await asyncio.sleep(1)
    cpu = gateway.cpu()
    await asyncio.sleep(2)
    idle = (gateway.cpu() - cpu) / 2
    report.check("%s: does not spin" % name, idle < 0.1, "%.0f %% CPU when idle" % (100 * idle))
    report.gateway(gateway)
    gateway.stop(args.keep)


def size_of(folder):
    """Bytes of all files in `folder`, as the disk has them."""
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.stat(os.path.join(folder, name)).st_size
        except OSError:
            pass
    return total


async def cap(report, args):
    """1 MiB for all logs together."""
    gateway = lib.Gateway(lib.port_base(30), OBJECTS, moongate="  log: {rotate_size: 256k, total_max: 1m, free_min: 0}").start()
    folder = os.path.join(gateway.prefix, "logs")
    worst, tasks = 0, []
    seconds = 3 if args.short else 8
    tasks = [asyncio.create_task(load(gateway.http, seconds, path)) for path in ("/ok", "/noisy")]
    end = time.time() + seconds
    while time.time() < end:
        worst = max(worst, size_of(folder))
        await asyncio.sleep(0.02)
    (rate, failures, p99), (noisy, more, _) = await asyncio.gather(*tasks)
    await asyncio.sleep(1.5)
    last = size_of(folder)
    files = sorted(os.listdir(folder))
    written = (rate * 200 + noisy * 1200) * seconds / 2**20
    report.check("1 MiB cap: serves on", rate > (0 if args.short else 300) and not failures and not more,
                 "%.0f/s + %.0f/s noisy, p99 %.1f ms %s" % (rate, noisy, 1000 * p99, (failures + more)[:1]))
    # What was just written may pass the cap until the next look at it.
    report.check("1 MiB cap: is kept", last <= 1.1 * 2**20 and worst <= 4 * 2**20,
                 "%.2f MiB at the end, %.2f MiB at worst, of about %.0f MiB written" % (last / 2**20, worst / 2**20, written))
    report.check("1 MiB cap: both logs are there", {"access.log", "error.log"} <= set(files), " ".join(files))
    answer = await lib.ask(gateway.http, lib.get("/noisy"))
    await asyncio.sleep(0.5)
    report.check("1 MiB cap: the log goes on", answer and answer.status == 200 and "nnnn" in gateway.log()[-3000:])
    report.gateway(gateway)
    gateway.stop(args.keep)


async def main(args):
    """All of it."""
    report = lib.Report("disk")
    await full(report, args, "access log on /dev/full", {"access_log": "/dev/full"})
    await full(report, args, "error log on /dev/full", {"error_log": "/dev/full"})
    await full(report, args, "both on /dev/full", {"access_log": "/dev/full", "error_log": "/dev/full"})
    await cap(report, args)
    report.end()


asyncio.run(main(lib.arguments(__doc__)))
