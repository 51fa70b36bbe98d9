"""What an instance can be, what is seen of it, what is remembered: the words of the other modules."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, NamedTuple


class Condition(StrEnum):
    """The state of an instance, as metrics and people are told."""

    READY = "ready"
    LOADING = "loading"
    BUSY = "busy"
    DRAINING = "draining"
    STUCK = "stuck"
    DEAD = "dead"
    GPU_LOST = "gpu_lost"


WELL = frozenset({Condition.READY, Condition.BUSY})


class Program(NamedTuple):
    """What Supervisor says of a program: its state, as RUNNING, and the process with its age in seconds."""

    state: str
    pid: int = 0
    age: float = 0.0
    said: str = ""


NO_WORD = Program("")  # Supervisor itself does not answer
NOT_THERE = Program("NOT_THERE")  # Supervisor has no such program


@dataclass(frozen=True)
class Sight:
    """What one look at an instance showed."""

    program: Program
    live: bool | None = None  # what /livez says; None: no answer
    status: str = ""  # loading, ready, paused, draining, failed
    said: str = ""  # why, in the instance's words, or why there is no answer
    working: bool = False  # it draws, or jobs wait
    log_grew: bool = False  # it has written to its log since the last look
    gpu_trouble: str = ""  # what is wrong with its GPU, as far as it is known


@dataclass
class Record:
    """What is remembered of an instance from one look to the next. Times are of the monotonic clock."""

    condition: str = Condition.LOADING
    reason: str = "not looked at yet"
    since: float = 0.0
    bad: int = 0  # bad looks in a row
    pid: int = 0  # the process of the last look
    answered: int = 0  # the process that has answered at least once
    ready: int = 0  # the process that has been ready at least once
    waited: float = 0.0  # how old the process was when it last waited for its turn to load
    exits: int = 0  # processes in a row that went without having been ready
    restarts: list[float] = field(default_factory=list)  # when, within the window of the budget
    totals: dict[str, int] = field(default_factory=dict)  # restarts by reason, since boot
    recovering_until: float = 0.0  # restarted by us, and given until then to get ready
    given_up: str = ""  # why nothing more is tried
    log_mark: list[int] = field(default_factory=list)  # inode and size of its log
    drawn_at: float = 0.0  # the last deep check
    drawn_well: bool | None = None
    drawn_badly: int = 0  # deep checks in a row that failed

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Return what `to_json` wrote, also where an earlier version wrote it."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


class Verdict(NamedTuple):
    """What an instance is, why, and the reason for which it should be restarted; none: let it be."""

    condition: Condition
    reason: str
    cause: str = ""
