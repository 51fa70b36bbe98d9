#!/usr/bin/python3
"""Tells how much of a core each exporter of this host takes.

usage: measure.py [SECONDS]     on a host with the role exporters, while it is scraped and has its usual work
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

UNITS = ("prometheus-node-exporter", "prometheus-nginx-exporter", "mtail", "rsyslog", "nvidia-dcgm-exporter")
GPU_FIGURES = Path("/usr/local/sbin/z-image-turbo-gpu-figures")
TIMER = Path("/etc/systemd/system/z-image-turbo-gpu-figures.timer")
TICKS = os.sysconf("SC_CLK_TCK")


def pid_of(unit: str) -> int:
    """Return the main process of a unit, 0 where it does not run."""
    command = ["/usr/bin/systemctl", "show", "--property", "MainPID", "--value", unit]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout or 0)


def seconds_of(pid: int) -> float:
    """Return the CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def gpu_share() -> float:
    """Return the share of a core that asking nvidia-smi takes: one run, by the time from one to the next."""
    interval = re.search(r"OnUnitActiveSec\s*=\s*(\d+)", TIMER.read_text())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([GPU_FIGURES, "/tmp/figures.prom"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / int(interval[1]) if interval else used


def main() -> None:
    """Measure and tell."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    pids = {unit: pid for unit in UNITS if (pid := pid_of(unit))}
    before = {unit: seconds_of(pid) for unit, pid in pids.items()}
    time.sleep(seconds)
    shares = {unit: (seconds_of(pid) - before[unit]) / seconds for unit, pid in pids.items()}
    if TIMER.exists():
        shares["nvidia-smi"] = gpu_share()
    for unit, share in shares.items():
        sys.stdout.write(f"{unit:<28} {share:7.2%} of a core\n")


if __name__ == "__main__":
    main()
