"""What the check tells: figures for Prometheus, a line of JSON for each change, a table for people."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from z_image_turbo_health.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from z_image_turbo_health.conditions import Record
    from z_image_turbo_health.settings import Options

PREFIX = "z_image_turbo_health_"
HELP = {
    "state": ("gauge", "1 for the state the instance is in"),
    "restarts_total": ("counter", "Restarts since the host booted, by reason; exited: by Supervisor"),
    "restart_budget_left": ("gauge", "Restarts that the check may still do; 0: it has given the instance up"),
    "deep_check_success": ("gauge", "Whether the last picture of the deep check was one"),
    "held": ("gauge", "1 while an operator's run works on the instance, and the check leaves it alone"),
    "supervisor_up": ("gauge", "Whether Supervisor answers"),
    "last_run_timestamp_seconds": ("gauge", "When the instances were looked at last"),
}
COLUMNS = ("instance", "state", "since", "restarts", "budget", "reason")


def budget_left(record: Record, options: Options) -> int:
    """Return how many restarts of an instance the check may still do now."""
    return 0 if record.given_up else max(0, options.budget - len(record.restarts))


def exposition(
    records: Mapping[str, Record],
    held: Collection[str],
    options: Options,
    *,
    supervisor_up: bool,
    now: float,
) -> str:
    """Return the figures in the text format of Prometheus; `now` in seconds since 1970."""
    values: dict[str, list[str]] = {name: [] for name in HELP}
    for name, record in records.items():
        for condition in Condition:
            is_in = int(record.condition == condition)
            values["state"].append(f'{{instance="{name}",state="{condition}"}} {is_in}')
        for reason, count in sorted(record.totals.items()):
            values["restarts_total"].append(f'{{instance="{name}",reason="{reason}"}} {count}')
        values["restart_budget_left"].append(f'{{instance="{name}"}} {budget_left(record, options)}')
        values["held"].append(f'{{instance="{name}"}} {int(name in held)}')
        if record.drawn_well is not None:
            values["deep_check_success"].append(f'{{instance="{name}"}} {int(record.drawn_well)}')
    values["supervisor_up"].append(f" {int(supervisor_up)}")
    values["last_run_timestamp_seconds"].append(f" {now:.3f}")
    lines = []
    for name, (kind, text) in HELP.items():
        lines += [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
        lines += [f"{PREFIX}{name}{value}" for value in values[name]]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a text in place of a file, whole or not at all; raise `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def log(path: Path, event: str, **facts: object) -> None:
    """Append a line; a full disk is no reason not to go on."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError), path.open("a") as file:
        file.write(json.dumps({"time": stamp, "event": event, **facts}, ensure_ascii=False) + "\n")


def table(records: Mapping[str, Record], held: Collection[str], options: Options, now: float) -> str:
    """Return a table of all instances."""
    rows = [COLUMNS] + [
        (
            name,
            str(record.condition) + (" (held)" if name in held else ""),
            duration(now - record.since),
            str(sum(record.totals.values())),
            f"{budget_left(record, options)} of {options.budget}",
            record.reason,
        )
        for name, record in records.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def duration(seconds: float) -> str:
    """Return a time as people say it, in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
