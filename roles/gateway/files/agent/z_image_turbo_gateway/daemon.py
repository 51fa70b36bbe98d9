"""The agent itself: it probes, reads the log, decides, and has Nginx follow."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from z_image_turbo_gateway import connections, nginx, program
from z_image_turbo_gateway.asking import probe
from z_image_turbo_gateway.everywhere import Everywhere
from z_image_turbo_gateway.figures import FiguresFile
from z_image_turbo_gateway.fleet import FleetError, Instance, read_fleet
from z_image_turbo_gateway.levels import Level, Levels
from z_image_turbo_gateway.log import LogReader
from z_image_turbo_gateway.serving import serve
from z_image_turbo_gateway.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from z_image_turbo_gateway.state import State

TICK_SECONDS = 0.5
HELD_UP_SECONDS = 3.0  # instead of a tick: this host stood still, and its probes say nothing


class Agent:
    """One agent; `run` returns when it is told to end."""

    def __init__(self, paths: nginx.Paths, state: State) -> None:
        """Read what there is; raise `FleetError` or `OSError` when there is no list of instances."""
        self._paths, self._state = paths, state
        self._stamp = self._source_stamp()
        self._fleet = read_fleet(paths.source)
        options = self._fleet.options
        self._levels = Levels(options.probe_fall, options.probe_rise, options.drain_idle)
        self._levels.keep(instance.id for instance in self._fleet.instances)
        self._levels.restore(state.removed())
        self._writer = Writer(paths)
        self._log = LogReader()
        self._figures = FiguresFile()
        self._decided: dict[str, tuple[Level, str]] = {}
        self._source_error = ""
        self._probes: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Watch the instances until a signal says to end."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        server = await serve(Everywhere(self._reachable))
        self._start_probes()
        notify("READY=1")
        while not ended.is_set():
            await self._tick(time.monotonic())
            notify("WATCHDOG=1")
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            if time.monotonic() - before > HELD_UP_SECONDS:
                self._levels.forget_probes()
        server.close()
        self._stop_probes()

    async def _tick(self, now: float) -> None:
        self._read_source()
        self._read_log(now)
        drained = self._state.drained()
        self._levels.drain(drained, now)
        decided = self._levels.decide(now)
        for name, (level, reason) in decided.items():
            if level != self._decided.get(name, (Level.IN, ""))[0]:
                say(f"{name}: {level.name.lower()}{f', {reason}' if reason else ''}")
        self._decided = decided
        await self._writer.follow(self._fleet, {name: level for name, (level, _) in decided.items()}, now)
        self._state.remember({name: why for name, why in self._levels.removed.items() if why[0] > Level.IN})
        self._report(drained, now)

    def _report(self, drained: set[str], now: float) -> None:
        open_now = connections.open_connections()
        report = {
            "program": program.REVISION,
            "source": self._fleet.source,
            "applied": self._writer.applied,
            "error": self._source_error or self._writer.error,
            "instances": {
                one.id: {
                    "level": self._decided[one.id][0].name.lower(),
                    "reason": self._decided[one.id][1],
                    "drained": one.id in drained,
                    "drained_by": self._state.drained_by(one.id) if one.id in drained else None,
                    "connections": open_now[one.endpoint],
                }
                for one in self._fleet.instances
            },
        }
        self._state.report(report)
        self._figures.follow(report, now)

    def _read_source(self) -> None:
        """Take a new list of instances, and keep the old one when the new one makes no sense."""
        stamp = self._source_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            fleet = read_fleet(self._paths.source)
        except (FleetError, OSError) as error:
            self._source_error = str(error)
            say(f"{error}; the instances of before are kept")
            return
        self._source_error, self._fleet = "", fleet
        self._levels.fall, self._levels.rise = fleet.options.probe_fall, fleet.options.probe_rise
        self._levels.drain_idle = fleet.options.drain_idle
        self._levels.keep(instance.id for instance in fleet.instances)
        self._start_probes()

    def _source_stamp(self) -> tuple[int, int, int] | None:
        try:
            there = self._paths.source.stat()
        except OSError:
            return None
        return there.st_ino, there.st_mtime_ns, there.st_size

    def _read_log(self, now: float) -> None:
        names = {instance.endpoint: instance.id for instance in self._fleet.instances}
        for one in self._log.tries():
            if name := names.get(one.endpoint):
                if one.session:
                    self._levels.visited(name, now)
                else:
                    self._levels.answered(name, one.failed, now)

    def _reachable(self) -> Sequence[Instance]:
        out = {name for name, (level, _) in self._decided.items() if level is Level.OUT}
        return [instance for instance in self._fleet.instances if instance.id not in out]

    def _start_probes(self) -> None:
        self._stop_probes()
        count = len(self._fleet.instances)
        self._probes = [
            asyncio.create_task(self._watch(instance, index / count))
            for index, instance in enumerate(self._fleet.instances)
        ]

    def _stop_probes(self) -> None:
        for task in self._probes:
            task.cancel()

    async def _watch(self, instance: Instance, phase: float) -> None:
        options = self._fleet.options
        await asyncio.sleep(phase * options.probe_interval)
        while True:
            began = time.monotonic()
            self._levels.probed(instance.id, await probe(instance, options.probe_path, options.probe_limit))
            await asyncio.sleep(max(0.0, began + options.probe_interval - time.monotonic()))


def say(message: str) -> None:
    """Write a line to the journal."""
    sys.stdout.write(message + "\n")
    sys.stdout.flush()


def notify(message: str) -> None:
    """Tell systemd, if it is there."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
