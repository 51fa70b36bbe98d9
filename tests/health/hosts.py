"""A host that is made up: its instances, and what is seen of them from one look to the next."""

from __future__ import annotations

from z_image_turbo_health.conditions import Condition, Program, Record, Sight, Verdict
from z_image_turbo_health.judging import Decision, decide, judge, note_restart
from z_image_turbo_health.settings import Options

OPTIONS = Options(
    interval=5,
    limit=2,
    fall=5,
    loading_seconds=300,
    budget=3,
    window_seconds=1800,
    draw_seconds=600,
    draw_limit=20,
    draw_side=256,
    metrics="/nowhere",
)


def running(pid: int = 100, age: float = 1000.0) -> Program:
    return Program("RUNNING", pid, age)


def ready(pid: int = 100, *, working: bool = False, gpu_trouble: str = "") -> Sight:
    return Sight(
        running(pid),
        live=True,
        status="ready",
        said="accepting jobs",
        working=working,
        gpu_trouble=gpu_trouble,
    )


def loading(pid: int = 100, age: float = 10.0) -> Sight:
    return Sight(running(pid, age), live=True, status="loading", said="the model is being loaded")


def silent(pid: int = 100, *, log_grew: bool = False) -> Sight:
    return Sight(running(pid), said="it does not answer (too slow)", log_grew=log_grew)


def failed(pid: int = 100) -> Sight:
    return Sight(running(pid), live=False, status="failed", said="the device is lost")


class Host:
    """Looks every five seconds at what it is told, and acts as the check does."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.records = {name: Record(since=self.now) for name in names}
        self.held: set[str] = set()
        self.done: list[Decision] = []
        self.verdicts: dict[str, Verdict] = {}

    def see(self, looks: int = 1, **sights: Sight) -> list[Decision]:
        """Look so many times; return what was done."""
        done = []
        for _ in range(looks):
            self.now += OPTIONS.interval
            self.verdicts = {
                name: judge(self.records[name], sight, OPTIONS, self.now) for name, sight in sights.items()
            }
            decision = decide(self.records, self.verdicts, self.held, OPTIONS, self.now)
            if decision:
                done.append(decision)
                if decision.action == "restart":
                    note_restart(self.records[decision.name], decision.cause, OPTIONS, self.now)
        self.done += done
        return done

    def state(self, name: str) -> Condition:
        return Condition(self.records[name].condition)
