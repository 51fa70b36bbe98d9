#!/usr/bin/python3
"""Writes what nvidia-smi and the kernel's log say of the GPUs, for the node exporter of Prometheus.

usage: z-image-turbo-gpu-figures [--expected N] FILE

What a GPU does not know ("[N/A]") is left out. When nvidia-smi hangs or fails, the file says so, and names
the fault as the local fact `gpu` of the role cuda does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

METRIC = "z_image_turbo_gpu_"
TIMEOUT = 10  # seconds for each question
FACT = Path("/etc/ansible/facts.d/gpu.fact")
HEALTH = ("ok", "no_driver", "mismatch", "no_gpu", "lost", "hung", "error")
MIB, MHZ = 2**20, 1e6

# By nvidia-smi's name: the metric, its labels, and what a number is multiplied with.
FIGURES: dict[str, tuple[str, str, float]] = {
    "memory.total": ("memory_total_bytes", "", MIB),
    "memory.used": ("memory_used_bytes", "", MIB),
    "utilization.gpu": ("utilization_ratio", "", 0.01),
    "temperature.gpu": ("temperature_celsius", "", 1),
    "power.draw": ("power_watts", "", 1),
    "power.limit": ("power_limit_watts", "", 1),
    "clocks.sm": ("clock_sm_hertz", "", MHZ),
    "clocks.max.sm": ("clock_sm_max_hertz", "", MHZ),
    "clocks.mem": ("clock_memory_hertz", "", MHZ),
    "ecc.errors.corrected.volatile.total": ("ecc_errors", ',kind="corrected"', 1),
    "ecc.errors.uncorrected.volatile.total": ("ecc_errors", ',kind="uncorrected"', 1),
}
FACTS = ("index", "uuid", "name", "driver_version", "pci.bus_id")
REASONS = "clocks_throttle_reasons.active"
# Bits of NVML: clocks that are held back by heat, by the limit of power, and by the power supply.
THROTTLED = {"thermal": 0x20 | 0x40, "power_cap": 0x04, "power_brake": 0x80}
UNKNOWN_FIELD = re.compile(r'Field "([^"]+)" is not a valid field')
XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-f:.]+)\): (\d+)", re.IGNORECASE)

Row = dict[str, str]


class FaultError(Exception):
    """The GPUs cannot be asked; the message is a word of `HEALTH`."""


def ask(*command: str) -> str:
    """Return what a command says; raise `FaultError` when it fails or does not end in time."""
    program = shutil.which(command[0])
    if not program:
        raise FaultError("no_driver")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - words of ours
            [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()  # and no waiting: a process that hangs in the kernel does not die
            raise FaultError("hung") from None
        output.seek(0)
        said = output.read()
    if status:
        raise FaultError(said)
    return said


def gpus() -> list[Row]:
    """Return what each GPU says; a field that this version of nvidia-smi does not know is not asked for."""
    fields = [*FACTS, *FIGURES, REASONS]
    while True:
        try:
            said = ask("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
        except FaultError as fault:
            unknown = UNKNOWN_FIELD.search(str(fault))
            if unknown and unknown[1] in fields[len(FACTS) :]:
                fields.remove(unknown[1])
                continue
            raise
        return [
            dict(zip(fields, (cell.strip() for cell in line.split(",")), strict=True))
            for line in said.splitlines()
        ]


def health(fault: FaultError) -> str:
    """Return the word for a fault."""
    if str(fault) in HEALTH:
        return str(fault)
    try:
        word = str(json.loads(ask(str(FACT)))["health"])
    except (FaultError, ValueError, KeyError):
        return "error"
    return word if word in HEALTH and word != "ok" else "error"


def figures_of(row: Row) -> list[str]:
    """Return the lines about one GPU."""
    gpu = f'gpu="{row["index"]}"'
    info = f'{gpu},uuid="{row["uuid"]}",model="{row["name"]}",driver="{row["driver_version"]}"'
    lines = [f"{METRIC}info{{{info}}} 1"]
    for field, (metric, labels, unit) in FIGURES.items():
        try:
            value = float(row[field]) * unit
        except (KeyError, ValueError):
            continue
        lines.append(f"{METRIC}{metric}{{{gpu}{labels}}} {value:.15g}")
    try:
        bits = int(row[REASONS], 16)
    except (KeyError, ValueError):
        return lines
    return lines + [
        f'{METRIC}throttled{{{gpu},reason="{reason}"}} {int(bool(bits & mask))}'
        for reason, mask in THROTTLED.items()
    ]


def xids_of(kernel_log: str, rows: list[Row]) -> list[str]:
    """Return how often each GPU had which Xid error since the host started."""
    by_bus = {_bus(row["pci.bus_id"]): row["index"] for row in rows}
    counts = Counter((by_bus.get(_bus(bus), bus), xid) for bus, xid in XID.findall(kernel_log))
    return [
        f'{METRIC}xid_errors_total{{gpu="{gpu}",xid="{xid}"}} {count}'
        for (gpu, xid), count in sorted(counts.items())
    ]


def _bus(written: str) -> str:
    """Return a PCI address as nvidia-smi ("00000000:41:00.0") and the kernel ("0000:41:00") both mean it."""
    return written.lower().partition(".")[0][-10:]


def figures(expected: int) -> list[str]:
    """Return all lines."""
    lines, rows, word = [f"{METRIC}expected {expected}"], list[Row](), "ok"
    try:
        rows = gpus()
    except FaultError as fault:
        word = health(fault)
    lines.append(f"{METRIC}up {int(word == 'ok')}")
    lines += [f'{METRIC}health{{health="{one}"}} {int(one == word)}' for one in HEALTH]
    for row in rows:
        lines += figures_of(row)
    with contextlib.suppress(FaultError):  # journalctl fails where there is nothing
        said = ask("journalctl", "--dmesg", "--boot", "--quiet", "--output=cat", "--grep=NVRM: Xid")
        lines += xids_of(said, rows)
    return lines


def exposition(lines: list[str]) -> str:
    """Return lines in the order that Prometheus asks for, each metric with its kind."""
    by_metric: dict[str, list[str]] = {}
    for line in lines:
        by_metric.setdefault(re.split(r"[{ ]", line, maxsplit=1)[0], []).append(line)
    blocks = [
        f"# TYPE {metric} {'counter' if metric.endswith('_total') else 'gauge'}\n" + "\n".join(block)
        for metric, block in by_metric.items()
    ]
    return "\n".join(blocks) + "\n"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expected", type=int, default=0, help="how many GPUs there should be")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    scratch = arguments.file.with_suffix(".new")
    scratch.write_text(exposition(figures(arguments.expected)))
    scratch.chmod(0o644)
    scratch.replace(arguments.file)


if __name__ == "__main__":
    main()
