"""The command `z-image-turbo-gateway`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from z_image_turbo_gateway import nginx, program
from z_image_turbo_gateway.daemon import Agent
from z_image_turbo_gateway.fleet import FleetError, read_fleet
from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.rendering import render
from z_image_turbo_gateway.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from z_image_turbo_gateway.fleet import Fleet

APPLY_SECONDS = 30.0
IDLE_SECONDS = 400.0
BACK_SECONDS = 60.0
IN = Level.IN.name.lower()

FAILED = 1
TOO_FEW = 3  # would be left in service
NOTHING_TO_SPARE = 4  # the gateway has no such instance, or no other one


class CommandError(RuntimeError):
    """A command that cannot be done, and why."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        """Keep what to say, and the exit status."""
        super().__init__(message)
        self.status = status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except (CommandError, FleetError, nginx.NginxError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return error.status if isinstance(error, CommandError) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "z-image-turbo-gateway", description="Which instances this gateway uses."
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    status = command("status", _status, "Show every instance, and who is out of service and why.")
    status.add_argument("--json", action="store_true", help="for programs")
    drain = command("drain", _drain, "Give an instance no new work; what it has begun it finishes.")
    drain.add_argument("--force", action="store_true", help="even if less than half of the instances remain")
    drain.add_argument("--until-idle", action="store_true", help="wait until it has finished everything")
    undrain = command("undrain", _undrain, "Give an instance work again.")
    undrain.add_argument("--until-in", action="store_true", help="wait until it is in service")
    for one in (drain, undrain):
        one.add_argument("--by", help="in whose name; undrain then leaves what others have drained")
        one.add_argument("instances", nargs="+", metavar="instance")
    check = command("check", _check, "Have Nginx read the list of servers that a fleet.json leads to.")
    check.add_argument("file", type=Path)
    command("render", _render, "Write a list of servers if there is none, so that Nginx can start.")
    command("run", _run, "Watch the instances; this is what systemd starts.")
    return parser


def _run(_: argparse.Namespace) -> int:
    asyncio.run(Agent(nginx.Paths(), State()).run())
    return 0


def _check(given: argparse.Namespace) -> int:
    fleet = read_fleet(given.file)
    asyncio.run(nginx.check(render(fleet, _marked(fleet)), nginx.Paths()))
    return 0


def _render(_: argparse.Namespace) -> int:
    paths = nginx.Paths()
    fleet = read_fleet(paths.source)
    with nginx.locked(paths):
        if not nginx.on_disk(paths):
            nginx.write(render(fleet, _marked(fleet)), paths.servers)
    return 0


def _marked(fleet: Fleet) -> dict[str, Level]:
    drained = State().drained()
    return {one.id: Level.NO_NEW for one in fleet.instances if one.id in drained}


def _status(given: argparse.Namespace) -> int:
    status = State().status()
    if given.json:
        sys.stdout.write(json.dumps({"program": program.REVISION, "agent": status}) + "\n")
        return 0 if status else 1
    agent = _agent()
    instances = agent["instances"]
    width = max(map(len, instances))
    sys.stdout.write(f"{'instance':<{width}}  state   connections  reason\n")
    for name, row in instances.items():
        line = f"{name:<{width}}  {row['level']:<6}  {row['connections']:>11}  {row['reason']}"
        sys.stdout.write(line.rstrip() + "\n")
    if error := agent["error"]:
        sys.stdout.write(f"\n{error}\n")
    return 0


def _drain(given: argparse.Namespace) -> int:
    instances = _known(given.instances)
    state = State()
    with nginx.locked(nginx.Paths()):  # two that drain at once must not both find enough of them left
        _leave_enough(instances, {*given.instances, *state.drained()}, force=given.force)
        for name in given.instances:
            state.drain(name, given.by or "")
    _wait(
        lambda status: (
            status["applied"] and all(status["instances"][name]["drained"] for name in given.instances)
        )
    )
    if given.until_idle:
        _wait(
            lambda status: not any(status["instances"][name]["connections"] for name in given.instances),
            IDLE_SECONDS,
        )
    return 0


def _leave_enough(instances: dict[str, Any], drained: set[str], *, force: bool) -> None:
    remaining = [name for name, row in instances.items() if row["level"] == IN and name not in drained]
    if len(instances) == 1:
        raise CommandError(f"{next(iter(instances))} is the only instance.", NOTHING_TO_SPARE)
    if not remaining or (len(remaining) * 2 < len(instances) and not force):
        advice = "" if not remaining else "; --force does it nevertheless"
        raise CommandError(
            f"Only {len(remaining)} of {len(instances)} instances would be in service{advice}.", TOO_FEW
        )


def _undrain(given: argparse.Namespace) -> int:
    state = State()
    _known([name for name in given.instances if name not in state.drained()])  # it may have left the fleet
    for name in given.instances:
        state.undrain(name, given.by)
    names = [name for name in given.instances if name not in state.drained()]
    _wait(
        lambda status: (
            status["applied"] and not any(status["instances"].get(name, {}).get("drained") for name in names)
        )
    )
    if given.until_in:
        _wait(
            lambda status: (
                status["applied"]
                and all(status["instances"].get(name, {"level": IN})["level"] == IN for name in names)
            ),
            BACK_SECONDS,
        )
    return 0


def _agent() -> dict[str, Any]:
    if (status := State().status()) is None:
        raise CommandError("The agent does not run: see systemctl status z-image-turbo-gateway")
    return status


def _known(names: Sequence[str]) -> dict[str, Any]:
    instances: dict[str, Any] = _agent()["instances"]
    if unknown := [name for name in names if name not in instances]:
        raise CommandError(
            f"No instance is called {', '.join(unknown)}. There are {', '.join(instances)}.", NOTHING_TO_SPARE
        )
    return instances


def _wait(condition: Callable[[dict[str, Any]], bool], seconds: float = APPLY_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition(status := _agent()):
        if time.monotonic() > end:
            raise CommandError(f"It took longer than {seconds:.0f} s. {status['error']}".strip())
        time.sleep(0.2)
