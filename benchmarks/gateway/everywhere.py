"""What it costs to ask all instances about one caller's jobs, by how many instances there are.

    python3 benchmarks/gateway/everywhere.py [--instances 12,48,300] [--calls 40]

The instances are servers in a process of their own, which answer at once. Measured are the ways that
roles/gateway/README.md weighs against each other; one line of JSON for each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2] / "roles/gateway/files/agent"))

from z_image_turbo_gateway.asking import Asker
from z_image_turbo_gateway.everywhere import LIMIT_SECONDS, Call, Everywhere
from z_image_turbo_gateway.fleet import Instance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection

BODY = json.dumps({"progress": 0.0, "eta_relative": 0.0, "state": {"job_count": 0, "job": ""}}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


def main() -> None:
    """Measure each number of instances."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", default="12,48,300")
    parser.add_argument("--calls", type=int, default=40)
    given = parser.parse_args()
    for count in map(int, given.instances.split(",")):
        ours, theirs = multiprocessing.Pipe()
        stubs = multiprocessing.Process(target=_serve, args=(count, theirs), daemon=True)
        stubs.start()
        instances = [Instance(f"i{port}", "h", "127.0.0.1", port) for port in ours.recv()]
        asyncio.run(_measure(instances, given.calls))
        stubs.terminate()
        stubs.join()


def _serve(count: int, told: Connection) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)
        writer.close()

    async def serve() -> None:
        servers = [await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512) for _ in range(count)]
        told.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    asyncio.run(serve())


def _call(number: int, method: str = "GET") -> Call:
    target = "/sdapi/v1/progress" if method == "GET" else "/sdapi/v1/interrupt"
    return Call(method, target, (("x-principal", f"user{number}"),))


async def _measure(instances: list[Instance], calls: int) -> None:
    everywhere, asker = Everywhere(lambda: instances), Asker()

    async def one(number: int) -> None:
        await asker.ask(instances[number % len(instances)], "GET", "/sdapi/v1/progress", {}, LIMIT_SECONDS)

    async def of_all(number: int) -> None:
        await everywhere.answer(_call(number, "POST"))

    async def of_all_one_after_the_other(_: int) -> None:
        for instance in instances:
            await asker.ask(instance, "GET", "/sdapi/v1/progress", {}, LIMIT_SECONDS)

    async def shared(_: int) -> None:
        await everywhere.answer(_call(0))

    async def crowd(number: int) -> None:
        await asyncio.gather(*(everywhere.answer(_call(8 * number + one)) for one in range(8)))

    await of_all(0)
    for name, way, times in (
        ("one instance, as with pinning or an id that names it", one, calls),
        ("all in parallel", of_all, calls),
        ("all, one after the other", of_all_one_after_the_other, max(calls // 10, 3)),
        ("all in parallel, the same caller within half a second", shared, calls),
        ("all in parallel, eight callers at the same time", crowd, max(calls // 4, 3)),
    ):
        await _report(name, len(instances), way, times)


async def _report(name: str, instances: int, way: Callable[[int], Awaitable[None]], times: int) -> None:
    seconds: list[float] = []
    cpu = time.process_time()
    for number in range(times):
        began = time.perf_counter()
        await way(number + 1)
        seconds.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    row = {
        "way": name,
        "instances": instances,
        "p50_ms": round(statistics.median(seconds) * 1000, 2),
        "max_ms": round(max(seconds) * 1000, 2),
        "cpu_ms": round(cpu / times * 1000, 2),
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
