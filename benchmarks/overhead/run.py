"""Measure what the gateway costs: the same requests straight to the instances, and through each balancer.

usage: python -m benchmarks.overhead.run --gateway ADDRESS [--rounds 3] [--output FILE]

The ways take turns within a round, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.faults.faults import BASE_PORT, GPU_HOSTS, NAMES, OURS, PEER, wait_until_all_ready

DIRECT = "direct"
Ask = Callable[[httpx.Client, int], httpx.Response]


class Kind(NamedTuple):
    """One kind of request: how it is asked, how many of them in a round, and by how many at once."""

    ask: Ask
    requests: int
    callers: int


def picture(client: httpx.Client, seed: int) -> httpx.Response:
    """Ask for a picture of 256x256."""
    wanted = {"prompt": "a red circle", "seed": seed, "width": 256, "height": 256}
    return client.post("/sdapi/v1/txt2img", json=wanted)


def readiness(client: httpx.Client, _: int) -> httpx.Response:
    """Ask for something that costs an instance nothing, so that what remains is the way there."""
    return client.get("/readyz")


KINDS = {"picture": Kind(picture, 80, 4), "readiness": Kind(readiness, 800, 4)}


def round_of(kind: Kind, urls: list[str]) -> tuple[float, list[float]]:
    """Return how long a round took in all, and each request in it, in seconds."""
    with ThreadPoolExecutor(kind.callers) as callers:
        clients = [[httpx.Client(base_url=url, timeout=120) for url in urls] for _ in range(kind.callers)]

        def call(number: int) -> float:
            mine = clients[number % kind.callers]
            begin = time.perf_counter()
            kind.ask(mine[number // kind.callers % len(mine)], number).raise_for_status()
            return time.perf_counter() - begin

        begin = time.perf_counter()
        seconds = list(callers.map(call, range(kind.requests)))
        return time.perf_counter() - begin, seconds


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="the address of one gateway")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    ways = {
        DIRECT: [
            f"http://{address}:{BASE_PORT + index}"
            for address in GPU_HOSTS.values()
            for index in range(len(NAMES))
        ],
        **{balancer.name: [f"http://{arguments.gateway}:{balancer.port}"] for balancer in (OURS, PEER)},
    }
    wait_until_all_ready()
    raw: dict[str, dict[str, list[tuple[float, list[float]]]]] = {}
    for _, (name, kind), (way, urls) in itertools.product(
        range(arguments.rounds), KINDS.items(), ways.items()
    ):
        raw.setdefault(name, {}).setdefault(way, []).append(round_of(kind, urls))
    if arguments.output:
        arguments.output.write_text(json.dumps(raw))
    print("| request | way | requests/s | of direct | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
    for name, by_way in raw.items():
        rates = {
            way: statistics.median(len(each) / all_ for all_, each in rounds)
            for way, rounds in by_way.items()
        }
        for way, rounds in by_way.items():
            seconds = sorted(itertools.chain.from_iterable(each for _, each in rounds))
            p50, p99 = (1000 * seconds[int(share * (len(seconds) - 1))] for share in (0.5, 0.99))
            share = rates[way] / rates[DIRECT]
            print(f"| {name} | {way} | {rates[way]:.1f} | {share:.3f} | {p50:.1f} | {p99:.1f} |")


if __name__ == "__main__":
    main()
