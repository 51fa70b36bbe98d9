"""Measure what users see of each fault, behind our gateway and behind HAProxy, in one run.

usage: python -m benchmarks.faults.run --url http://ADDRESS [--faults calm ...] [--seconds 40] --output FILE
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults.faults import FAULTS, OURS, PEER, Balancer, Fault, wait_until_all_ready
from benchmarks.faults.users import USERS, Load, Try

COUNTS = {"browser": 1, "gradio_client": 2, "openai": 3, "sdapi": 3}
BEFORE_SECONDS = 8
SLOW_FACTOR = 5  # a picture that takes so many times the median of the same users in the calm


def measure(balancer: Balancer, fault: Fault, address: str, seconds: float) -> list[Try]:
    """Return what users saw from `BEFORE_SECONDS` before the fault until it was put right and over."""
    wait_until_all_ready()
    load = Load(f"http://{address}:{balancer.port}")
    load.start(COUNTS)
    try:
        time.sleep(BEFORE_SECONDS)
        begin = time.monotonic()
        fault.begin(balancer)
        time.sleep(max(0.0, seconds / 2 - (time.monotonic() - begin)))
        fault.end(balancer)
        time.sleep(seconds / 2)
    finally:
        load.stop()
    return load.tries


def cell(tries: Sequence[Try], calm_seconds: float) -> str:
    """Return `failed/all, slow`, and the longest wait of a picture that came."""
    failed = sum(bool(one.error) for one in tries)
    came = [one.seconds for one in tries if not one.error]
    slow = sum(seconds > SLOW_FACTOR * calm_seconds for seconds in came)
    return f"{failed}/{len(tries)}, {slow} slow, {max(came, default=0):.1f} s"


def table(results: dict[str, dict[str, list[Try]]]) -> str:
    """Return the results as a table of Markdown, a row for each fault and balancer."""
    calm = {balancer: medians(by_fault.get("calm", [])) for balancer, by_fault in results.items()}
    rows = ["| fault | balancer | " + " | ".join(USERS) + " |", "|" + "---|" * (2 + len(USERS))]
    for fault in (fault.name for fault in FAULTS):
        for balancer, by_fault in results.items():
            if fault in by_fault:
                cells = [
                    cell([one for one in by_fault[fault] if one.kind == kind], calm[balancer][kind])
                    for kind in USERS
                ]
                rows.append(f"| {fault} | {balancer} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def raw(results: dict[str, dict[str, list[Try]]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the results as JSON has them."""
    return {
        balancer: {fault: [asdict(one) for one in tries] for fault, tries in by_fault.items()}
        for balancer, by_fault in results.items()
    }


def medians(tries: Sequence[Try]) -> dict[str, float]:
    """Return how long a picture takes each kind of user, in seconds; endless where none came."""
    return {
        kind: statistics.median(
            [one.seconds for one in tries if one.kind == kind and not one.error] or [math.inf]
        )
        for kind in USERS
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="the virtual address of the gateways")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--faults", nargs="*", default=[fault.name for fault in FAULTS])
    parser.add_argument("--balancers", nargs="*", default=[OURS.name, PEER.name])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    results: dict[str, dict[str, list[Try]]] = {}
    for fault in FAULTS:
        for balancer in (OURS, PEER):
            if fault.name in arguments.faults and balancer.name in arguments.balancers:
                print(f"{balancer.name}: {fault.name}", flush=True)
                tries = measure(balancer, fault, arguments.address, arguments.seconds)
                results.setdefault(balancer.name, {})[fault.name] = tries
                errors = sorted({f"{one.kind}: {one.error}" for one in tries if one.error})
                print(f"  {len(tries)} pictures", *errors, sep="\n  ", flush=True)
                arguments.output.write_text(json.dumps(raw(results)))
    print(table(results))


if __name__ == "__main__":
    main()
