"""What outlives one run of the check: records, held instances, the lock. All of it is gone after a reboot."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from z_image_turbo_health.conditions import Record
from z_image_turbo_health.telling import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path("/run/z-image-turbo-health")
HOLD_SECONDS = 1800.0  # then whoever holds an instance has forgotten it


class Memory(NamedTuple):
    """The records, when they were written, and since when Supervisor does not answer (0: it does)."""

    records: dict[str, Record]
    written: float = 0.0
    supervisor_gone: float = 0.0


def recall(names: Iterable[str], folder: Path = FOLDER) -> Memory:
    """Return what is known of these instances."""
    try:
        data = json.loads((folder / "state.json").read_text())
        known = {name: Record.from_json(one) for name, one in data["records"].items()}
        written, gone = float(data["written"]), float(data["supervisor_gone"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known, written, gone = {}, 0.0, 0.0
    now = time.monotonic()
    if written > now:  # of another boot
        known, written, gone = {}, 0.0, 0.0
    return Memory({name: known.get(name) or Record(since=now) for name in names}, written, gone)


def keep(memory: Memory, folder: Path = FOLDER) -> None:
    """Write it down; raise `OSError`."""
    records: Mapping[str, object] = {name: record.to_json() for name, record in memory.records.items()}
    data = {"written": memory.written, "supervisor_gone": memory.supervisor_gone, "records": records}
    write(folder / "state.json", json.dumps(data), 0o600)


def held(names: Iterable[str], folder: Path = FOLDER) -> set[str]:
    """Return the instances that an operator's run works on."""
    found = set()
    for name in names:
        try:
            age = time.time() - (folder / "hold" / name).stat().st_mtime
        except OSError:
            continue
        if age < HOLD_SECONDS:
            found.add(name)
    return found
