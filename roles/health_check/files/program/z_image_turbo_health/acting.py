"""The check itself: looks, judges, tells, and restarts at most one instance."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from z_image_turbo_health import memory, processes, telling
from z_image_turbo_health.conditions import Condition
from z_image_turbo_health.drawing import Drawing
from z_image_turbo_health.judging import CONFIRMED, decide, judge, note_restart
from z_image_turbo_health.looking import Eyes
from z_image_turbo_health.supervisor import Supervisor, SupervisorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from z_image_turbo_health.conditions import Record, Sight, Verdict
    from z_image_turbo_health.judging import Decision
    from z_image_turbo_health.settings import Instance, Settings

HELD_UP_FACTOR = 4.0  # a pause of so many intervals, and looks before it count no more
DRAW_AGAIN_SECONDS = 20.0  # after a picture that was none
SUPERVISOR_UNIT = "supervisor.service"
COMMAND_SECONDS = 5.0


class Paths(NamedTuple):
    """Where things are; tests have their own."""

    settings: Path = Path("/etc/z-image-turbo/health.json")
    socket: Path = Path("/run/supervisor.sock")
    folder: Path = memory.FOLDER
    log: Path = Path("/var/log/z-image-turbo/health.log")


class Check:
    """Looks at all instances, again and again."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        """Know the instances, and what an earlier run has seen of them."""
        self.settings = settings
        self._paths = paths
        self._instances = {one.id: one for one in settings.instances}
        self._supervisor = Supervisor(paths.socket)
        self._eyes = Eyes(settings, self._supervisor)
        self._drawing = Drawing()
        self._memory = memory.recall(self._instances, paths.folder)
        self.records = self._memory.records

    def loop(self, seconds: float) -> None:
        """Look every few seconds until the time is over."""
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            self.round(draw=end - begin > self.settings.options.draw_limit)
            time.sleep(max(0.0, min(begin + self.settings.options.interval, end) - time.monotonic()))

    def look(self) -> None:
        """Look once, and judge, without telling or doing anything."""
        self._eyes.ask_gpus(wait=True)
        self._look()

    def round(self, *, draw: bool) -> None:
        """Look once, tell what has changed, and do the one thing that has to be done."""
        before = {name: (str(record.condition), record.given_up) for name, record in self.records.items()}
        sights, verdicts, trouble = self._look()
        self._tell_states(before)
        held = memory.held(self._instances, self._paths.folder)
        now = time.monotonic()
        decision = decide(self.records, verdicts, held, self.settings.options, now)
        if decision:
            self._do(decision, sights[decision.name], now)
        for name, record in self.records.items():
            if record.given_up and not before[name][1]:
                self._log("given_up", instance=name, reason=record.given_up)
        self._mind_supervisor(sights, trouble, now)
        if draw:
            self._draw(held, now)
        self._remember(held, now, supervisor_up=not trouble)

    def _look(self) -> tuple[dict[str, Sight], dict[str, Verdict], str]:
        now = time.monotonic()
        if now - self._memory.written > HELD_UP_FACTOR * self.settings.options.interval:
            for record in self.records.values():  # it was this check, or the host, that stood still
                record.bad = 0
        for name, drawn in self._drawing.results().items():
            _note_picture(self.records[name], drawn)
        sights, trouble = self._eyes.look(self.records)
        verdicts = {}
        for name, sight in sights.items():
            record = self.records[name]
            verdicts[name] = judge(record, sight, self.settings.options, now)
        return sights, verdicts, trouble

    def _tell_states(self, before: Mapping[str, tuple[str, str]]) -> None:
        """Log each instance whose state is another one; that one is at work is no news."""
        for name, record in self.records.items():
            was, _ = before[name]
            if {was, record.condition} not in ({was}, {Condition.READY, Condition.BUSY}):
                self._log(
                    "state", instance=name, state=str(record.condition), before=str(was), reason=record.reason
                )

    def _do(self, decision: Decision, sight: Sight, now: float) -> None:
        instance, record = self._instances[decision.name], self.records[decision.name]
        self._log(decision.action, instance=instance.id, cause=decision.cause, reason=record.reason)
        try:
            if decision.action == "stop":
                self._supervisor.stop(instance.program)
                return
            note_restart(record, decision.cause, self.settings.options, now)
            self._restart(instance, sight)
        except (SupervisorError, OSError) as error:
            self._log("failed", instance=instance.id, action=decision.action, error=str(error))

    def _restart(self, instance: Instance, sight: Sight) -> None:
        if sight.program.pid:  # Supervisor starts it again as soon as it has ended
            processes.end(sight.program.pid)
            return
        for pid in processes.orphans(instance.port):
            self._log("orphan_ended", instance=instance.id, pid=pid)
            processes.end(pid)
        self._supervisor.start(instance.program)

    def _mind_supervisor(self, sights: dict[str, Sight], trouble: str, now: float) -> None:
        """Tell when Supervisor stops answering, and end it where nothing is lost by that."""
        gone = self._memory.supervisor_gone
        if bool(trouble) != bool(gone):
            self._log("supervisor", answers=not trouble, reason=trouble)
        gone = (gone or now) if trouble else 0.0
        patience = self.settings.options.fall * self.settings.options.interval
        lost = not any(sight.live for sight in sights.values())
        if gone and now - gone > patience and lost and _is_active(SUPERVISOR_UNIT):
            self._log("supervisor_ended", reason=f"{trouble}, and no instance answers")
            _run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", SUPERVISOR_UNIT])
            gone = now  # systemd brings it back, and its instances with it
        self._memory = self._memory._replace(supervisor_gone=gone)

    def _draw(self, held: set[str], now: float) -> None:
        options = self.settings.options
        if not options.draw_seconds:
            return
        for name, record in sorted(self.records.items(), key=lambda item: item[1].drawn_at):
            pause = DRAW_AGAIN_SECONDS if record.drawn_badly else options.draw_seconds
            due = not record.drawn_at or now - record.drawn_at >= pause
            if record.condition == Condition.READY and due and name not in held:
                if self._drawing.begin(self._instances[name], options):
                    record.drawn_at = now
                return

    def _remember(self, held: set[str], now: float, *, supervisor_up: bool) -> None:
        self._memory = self._memory._replace(written=now)
        figures = telling.exposition(
            self.records, held, self.settings.options, supervisor_up=supervisor_up, now=time.time()
        )
        try:
            memory.keep(self._memory, self._paths.folder)
            telling.write(Path(self.settings.options.metrics), figures)
        except OSError as error:  # a full disk: what the instances need is still done
            sys.stderr.write(f"{error}\n")

    def _log(self, event: str, **facts: object) -> None:
        telling.log(self._paths.log, event, **facts)


def _note_picture(record: Record, drawn: bool | None) -> None:
    if drawn is None:
        return
    record.drawn_well = drawn
    record.drawn_badly = 0 if drawn else min(record.drawn_badly + 1, CONFIRMED)


def _is_active(unit: str) -> bool:
    """Tell whether systemd means a unit to run: one that an operator stopped is left alone."""
    return _run(["systemctl", "is-active", "--quiet", unit])


def _run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, timeout=COMMAND_SECONDS, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
