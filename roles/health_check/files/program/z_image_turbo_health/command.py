"""The command `z-image-turbo-health`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from z_image_turbo_health import memory, telling
from z_image_turbo_health.acting import Check, Paths
from z_image_turbo_health.conditions import WELL
from z_image_turbo_health.settings import SettingsError, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOP_SECONDS = 57.0


def main(arguments: Sequence[str] | None = None, paths: Paths | None = None) -> int:
    """Run the command; return its exit status: 0 where every instance is well, 1 where one is not."""
    given = _parser().parse_args(arguments)
    paths = paths or Paths()
    try:
        if given.command == "check":
            read_settings(given.file)
            return 0
        check = Check(read_settings(paths.settings), paths)
        if given.command == "loop":
            check.loop(given.seconds)
            return 0
        return _show(check, paths, as_json=given.json)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "z-image-turbo-health", description="Look at the instances of this host, and show how they are."
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    commands = parser.add_subparsers(dest="command")
    loop = commands.add_parser(
        "loop", help="look every few seconds, and restart what needs it; cron does this"
    )
    loop.add_argument("--seconds", type=float, default=LOOP_SECONDS, help="and then end")
    check = commands.add_parser("check", help="tell what is wrong with a file of settings")
    check.add_argument("file", type=Path)
    return parser


def _show(check: Check, paths: Paths, *, as_json: bool) -> int:
    check.look()
    held = memory.held(check.records, paths.folder)
    options, now = check.settings.options, time.monotonic()
    if as_json:
        told = {
            name: {
                "state": record.condition,
                "reason": record.reason,
                "seconds": round(now - record.since, 1),
                "restarts": record.totals,
                "budget_left": telling.budget_left(record, options),
                "given_up": bool(record.given_up),
                "held": name in held,
                "deep_check": record.drawn_well,
            }
            for name, record in check.records.items()
        }
        sys.stdout.write(json.dumps({"instances": told}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(telling.table(check.records, held, options, now))
    return 0 if all(record.condition in WELL for record in check.records.values()) else 1
