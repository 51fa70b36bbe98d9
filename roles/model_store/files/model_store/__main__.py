"""The commands of the store; each prints its result as JSON.

An ORDER is a file of JSON, `-` the standard input; a STATUS of `-` is the terminal.

usage: python3 -m model_store look  ORDER
       python3 -m model_store fetch ORDER STATUS
       python3 -m model_store serve ROOT NAME ADDRESS PORT NEIGHBOUR...
       python3 -m model_store prune ROOT NAME KEPT CURRENT PATTERN...
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

from .fetch import fetch, look, read_order, room
from .manifest import StoreError
from .neighbours import NeighbourServer
from .store import Store


def report(path: str, **status: Any) -> None:  # noqa: ANN401
    """Tell in a file how far it is; on a terminal as well."""
    if path == "-":
        print(status.get("text", status["state"]), file=sys.stderr, flush=True)
        return
    scratch = Path(f"{path}.new")
    scratch.write_text(json.dumps(status))
    scratch.rename(path)


def run_fetch(order_path: str, status_path: str) -> int:
    """Carry an order out, one at a time for each model."""
    order = read_order(order_path)
    report(status_path, state="running", text="starting")
    folder = Path(order.root) / order.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            found = fetch(order, lambda text: report(status_path, state="running", text=text))
        except StoreError as error:
            report(status_path, state="failed", text=str(error))
            return 1
    report(status_path, state="done", result=found.as_dict())
    if status_path == "-":
        print(json.dumps(found.as_dict()))
    return 0


def main() -> int:
    """Run a command."""
    os.umask(0o022)
    match sys.argv[1:]:
        case ["look", path]:
            order = read_order(path)
            found = look(order)
            print(json.dumps({"found": found.as_dict() if found else {}, "room": room(order)}))
        case ["fetch", order, status]:
            return run_fetch(order, status)
        case ["serve", root, name, address, port, *neighbours]:
            NeighbourServer((address, int(port)), neighbours, Store(root, name).blobs).serve_forever()
        case ["prune", root, name, kept, current, *patterns]:
            print(json.dumps(Store(root, name).prune(int(kept), current, patterns)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
