#!/usr/bin/env python3
"""Measure how long the virtual IP does not answer when the gateway that has it dies, and when it returns.

Each line of the output is one event: {"fault", "outage", "back", "failed", "sent", "holders"}, in seconds.
"""

from __future__ import annotations

import argparse
import json

import lab
from faults import FAULTS, Fault, holder, holders, run
from outage import Prober

VIRTUAL_IP = f"{lab.NETWORK}.36"


def measure(fault: Fault) -> dict[str, object]:
    """Strike the gateway that has the address, wait until all is well, and bring it back."""
    active = holder(VIRTUAL_IP)
    with Prober(VIRTUAL_IP) as prober:
        prober.settle()
        run(fault.strike, active)
        prober.settle()
    strike = prober.answers()
    held = holders(VIRTUAL_IP)
    with Prober(VIRTUAL_IP) as prober:
        run(fault.repair, active)
        holder(VIRTUAL_IP)
        prober.settle(4)
    back = prober.answers()
    return {
        "fault": fault.name,
        "outage": strike.outage,
        "back": back.outage,
        "failed": strike.failed + back.failed,
        "sent": strike.sent + back.sent,
        "holders": {"before": [active], "struck": held, "after": holders(VIRTUAL_IP)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    for _ in range(parser.parse_args().repeat):
        for each in FAULTS:
            print(json.dumps(measure(each)), flush=True)
