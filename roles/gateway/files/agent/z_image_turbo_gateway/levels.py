"""Who is in service: a pure state machine over what probes and users' requests showed, and drain markers.

It has no clock and does no input or output: each observation comes with its time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

WINDOW_SECONDS = 10.0  # of users' requests that are looked at
FAILURES_MIN = 5  # fewer are an accident
FAILED_SHARE = 0.5  # of an instance's requests, from which on it is poisoned
BAD_ALONE = 2.0  # so many times worse than the others, or the requests are to blame
PENALTY_SECONDS = 30.0  # out of service for the first time; doubled each time
PENALTY_SECONDS_MAX = 480.0
FORGIVEN_SECONDS = 600.0  # without a failure, after which the first penalty is the first again


class Probe(IntEnum):
    """What came of asking an instance whether it is ready."""

    READY = 0
    REFUSING = 1  # it answered, but not with 200: it loads, or is being drained
    LOST = 2  # no answer


class Level(IntEnum):
    """How far an instance is out of service. Each level has the effects of those before it."""

    IN = 0
    NO_NEW = 1  # no picture requests and no new sessions; its own sessions stay
    MOVED = 2  # its sessions move to their stand-in; its files are still asked of it
    OUT = 3  # nothing is asked of it


@dataclass
class _Record:
    """What is known of one instance."""

    lost: int = 0  # probes in a row without an answer
    bad: int = 0  # probes in a row with another answer than "ready", or none
    good: int = 0
    level: Level = Level.IN  # by probes
    reason: str = ""
    answers: deque[tuple[float, bool]] = field(default_factory=deque)  # when, and whether it failed
    poisoned_until: float = 0.0
    penalty: float = PENALTY_SECONDS
    last_session: float = 0.0


class Levels:
    """The levels of all instances."""

    def __init__(self, fall: int, rise: int, drain_idle: float) -> None:
        """Take an instance out after `fall` bad probes in a row, and back after `rise` good ones."""
        self.fall, self.rise, self.drain_idle = fall, rise, drain_idle
        self._records: dict[str, _Record] = {}
        self._drained: dict[str, float] = {}  # since when
        self.removed: dict[str, tuple[Level, str]] = {}  # as it was decided last, drained ones aside

    def keep(self, ids: Iterable[str]) -> None:
        """Know these instances and no others. New ones are in service until a probe says otherwise."""
        self._records = {name: self._records.get(name, _Record()) for name in ids}
        self.removed = {name: why for name, why in self.removed.items() if name in self._records}

    def restore(self, removed: Mapping[str, tuple[Level, str]]) -> None:
        """Begin with what an earlier process decided, so that its end puts no dead instance in service."""
        for name, (level, reason) in removed.items():
            if name in self._records:
                self._records[name].level, self._records[name].reason = level, reason
                self.removed[name] = level, reason

    def drain(self, names: Collection[str], now: float) -> None:
        """Take note of which instances the operator wants out of service."""
        self._drained = {name: self._drained.get(name, now) for name in names if name in self._records}

    def probed(self, name: str, probe: Probe) -> None:
        """Take note of a probe."""
        record = self._records.get(name)
        if record is None:
            return
        record.good = record.good + 1 if probe is Probe.READY else 0
        record.bad = 0 if probe is Probe.READY else record.bad + 1
        record.lost = record.lost + 1 if probe is Probe.LOST else 0
        if record.good >= self.rise:
            record.level, record.reason = Level.IN, ""
        elif record.lost >= self.fall:
            record.level, record.reason = Level.OUT, "it does not answer"
        elif record.bad >= self.fall:
            record.level, record.reason = Level.NO_NEW, "it says that it is not ready"
        if record.bad:  # what it answered before is no reproach to the process that comes after
            record.answers.clear()
            record.poisoned_until = 0.0

    def answered(self, name: str, failed: bool, now: float) -> None:
        """Take note of how a user's request for a picture ended."""
        if record := self._records.get(name):
            record.answers.append((now, failed))

    def visited(self, name: str, now: float) -> None:
        """Take note of a request of one of its sessions."""
        if record := self._records.get(name):
            record.last_session = now

    def forget_probes(self) -> None:
        """Begin to count anew: the agent itself was held up, so the probes say nothing of the instances."""
        for record in self._records.values():
            record.lost = record.bad = record.good = 0

    def decide(self, now: float) -> dict[str, tuple[Level, str]]:
        """Return the level of every instance, and why.

        Probes and failures never take more than half of the fleet out of service, and none while more than
        half do not answer: then the gateway itself has no connection. Who is out stays out until it is well.
        """
        self._judge_answers(now)
        wanted = {name: why for name in self._records if (why := self._wanted(name, now))[0] > Level.IN}
        kept = {name: wanted[name] for name in self.removed if name in wanted}
        lost = sum(record.lost > 0 for record in self._records.values())
        if lost * 2 <= len(self._records):
            for name, why in sorted(wanted.items(), key=lambda item: -item[1][0]):
                if name in kept or len(kept.keys() | self._drained.keys() | {name}) * 2 <= len(self._records):
                    kept[name] = why
        else:
            kept = {name: min(why, self.removed[name]) for name, why in kept.items()}
        self.removed = kept
        return {
            name: max(kept.get(name, (Level.IN, "")), self._drain_level(name, now)) for name in self._records
        }

    def _wanted(self, name: str, now: float) -> tuple[Level, str]:
        record = self._records[name]
        poisoned = (Level.MOVED, "it answers with errors") if now < record.poisoned_until else (Level.IN, "")
        return max((record.level, record.reason), poisoned)

    def _drain_level(self, name: str, now: float) -> tuple[Level, str]:
        if (since := self._drained.get(name)) is None:
            return Level.IN, ""
        idle = now - max(since, self._records[name].last_session)
        return Level.MOVED if idle >= self.drain_idle else Level.NO_NEW, "it is drained"

    def _judge_answers(self, now: float) -> None:
        totals: dict[str, tuple[int, int]] = {}
        for name, record in self._records.items():
            while record.answers and record.answers[0][0] < now - WINDOW_SECONDS:
                record.answers.popleft()
            totals[name] = len(record.answers), sum(failed for _, failed in record.answers)
        requests = sum(own for own, _ in totals.values())
        failures = sum(failed for _, failed in totals.values())
        for name, (own, failed) in totals.items():
            record = self._records[name]
            if failed < FAILURES_MIN or failed < own * FAILED_SHARE:
                continue
            others = requests - own
            share_of_others = (failures - failed) / others if others else 0.0
            if failed / own < share_of_others * BAD_ALONE:
                continue
            if now - record.poisoned_until > FORGIVEN_SECONDS:
                record.penalty = PENALTY_SECONDS
            record.poisoned_until = now + record.penalty
            record.penalty = min(2 * record.penalty, PENALTY_SECONDS_MAX)
            record.answers.clear()
