#!/usr/bin/python3
"""Shows what the logs of all hosts say of one request: at the gateway, at its instances, and as a job.

usage: z-image-turbo-logs [--json] REQUEST

A request is known by its id, which the gateway answers as X-Request-Id and takes from whoever sends one. The
id of a job works as well.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("/var/log/z-image-turbo-hosts")
KEYS = ("request_id", "request", "job")  # the gateway's, the instances', and that of a job


def lines_of(path: Path, word: bytes) -> Iterator[dict[str, Any]]:
    """Yield the entries of a log that contain a word."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as log:
        for line in log:
            if word not in line:
                continue
            try:
                entry = json.loads(line[line.index(b"{") :])
            except ValueError:
                continue
            yield {**entry, "log": path.name.partition(".")[0], "host": path.parent.name}


def find(folder: Path, word: str) -> list[dict[str, Any]]:
    """Return what all logs say of a request or a job, in the order of time."""
    entries = [
        entry
        for path in sorted(folder.glob("*/*.log*"))
        for entry in lines_of(path, word.encode())
        if word in (entry.get(key) for key in KEYS)
    ]
    return sorted(entries, key=when)


def when(entry: dict[str, Any]) -> datetime:
    """Return the time that an entry tells; of a gateway it is the end of the request."""
    try:
        told = datetime.fromisoformat(str(entry.get("time")))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def sentence(entry: dict[str, Any]) -> str:
    """Return an entry for people."""
    if entry["log"] == "gateway":
        served = f"by {entry['instance']}" if entry.get("instance") else "by the gateway itself"
        tries = (
            f", tried {entry['upstream']} ({entry['upstream_status']})" if "," in entry["upstream"] else ""
        )
        return (
            f"{entry['method']} {entry['uri']} from {entry['client']} {entry['principal']}".rstrip()
            + f": {entry['status']} in {entry['seconds']} s, {served}{tries}"
        )
    known = {"time", "level", "logger", "message", "instance", "request", "host", "log"}
    rest = " ".join(f"{key}={value}" for key, value in entry.items() if key not in known)
    return f"{entry.get('message', '')} {rest}".strip()


def main() -> int:
    """Do what the command line says; 1 where there is no such request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the entries as they are, one a line")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("request", help="the id of a request, or of a job")
    arguments = parser.parse_args()
    entries = find(arguments.folder, arguments.request)
    if not entries:
        sys.stderr.write(f"No log knows {arguments.request}.\n")
        return 1
    width = max(len(f"{entry['host']} {entry.get('instance') or entry['log']}") for entry in entries)
    for entry in entries:
        if arguments.json:
            sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
            continue
        where = "gateway" if entry["log"] == "gateway" else entry.get("instance") or entry["log"]
        time = when(entry).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        place = f"{entry['host']} {where}"
        sys.stdout.write(f"{time}  {place:<{width}}  {sentence(entry)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
