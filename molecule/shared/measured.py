"""What a fault does to those who use the service meanwhile, and how long until it is over."""

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lab

from benchmarks.faults.users import Load, Try

RESULTS = Path(os.environ.get("FAULTS_RESULTS") or lab.ROOT / ".cache" / "faults.json")
USERS = {"script": 3, "gradio_client": 1}
PAGES = {"gradio_client", "browser"}  # the kinds of users who have a session of the page
CALM_PICTURES = 6
AFTER_SECONDS = 3.0
SLOW_FACTOR = 5


class Measured:
    """One fault, from the calm before it until some seconds after it was over."""

    def __init__(self, name: str, url: str) -> None:
        """Measure nothing yet."""
        self.name = name
        self._url = url
        self._struck = 0.0
        self.seconds: float | None = None
        self.tries: list[Try] = []
        self._told: dict[str, float] = {}

    @contextmanager
    def users(self, counts: dict[str, int] | None = None) -> Iterator[Load]:
        """Have people use the service as long as the context lasts, and a little longer."""
        load = Load(self._url)
        load.start(USERS if counts is None else counts)
        try:
            lab.wait_until(lambda: sum(not one.error for one in load.tries) >= CALM_PICTURES, 60)
            yield load
            lab.wait_until(self._quiet(load), 90)
        finally:
            load.stop()
            self.tries = list(load.tries)

    def strikes(self) -> None:
        """Begin to count the time."""
        self._struck = time.monotonic()

    def over_when(self, condition: Callable[[], object], seconds: float) -> None:
        """Wait until the service is whole again; fail when that takes longer."""
        lab.wait_until(condition, seconds)
        self.seconds = time.monotonic() - self._struck

    def told_when(self, text: str, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until the operator is told, and note by what."""
        lab.wait_until(condition, seconds)
        self._told[text] = time.monotonic() - self._struck

    def errors(self, kind: str = "script") -> list[str]:
        """Return the errors that users of a kind saw."""
        return [one.error for one in self.tries if one.error and one.kind == kind]

    def longest(self) -> float:
        """Return the seconds that the slowest picture took."""
        return max((one.seconds for one in self.tries if not one.error), default=0.0)

    def outage(self, kind: str = "script") -> float:
        """Return the longest time in which no picture came to the users of a kind, in seconds."""
        ends = sorted(one.begin + one.seconds for one in self.tries if one.kind == kind and not one.error)
        return max((later - sooner for sooner, later in itertools.pairwise(ends)), default=0.0)

    def figures(self) -> dict[str, Any]:
        """Return what was measured."""
        came = [one.seconds for one in self.tries if not one.error]
        failed = [one.kind in PAGES for one in self.tries if one.error]
        usual = statistics.median(came) if came else 0.0
        return {
            "pictures": len(self.tries),
            "failed": failed.count(False),
            "failed_pages": failed.count(True),
            "slow": sum(seconds > SLOW_FACTOR * usual for seconds in came),
            "usual_seconds": round(usual, 2),
            "longest_seconds": round(max(came, default=0.0), 1),
            "over_seconds": None if self.seconds is None else round(self.seconds, 1),
            "told": {text: round(seconds, 1) for text, seconds in self._told.items()},
        }

    def keep(self) -> None:
        """Add the figures to those of the other faults."""
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        known[self.name] = self.figures()
        RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")

    @staticmethod
    def _quiet(load: Load) -> Callable[[], bool]:
        """Return a condition: every user's pictures of the last seconds came."""
        begin = time.monotonic()
        count = len(load.tries)

        def quiet() -> bool:
            recent = load.tries[count:]
            good = bool(recent) and not any(one.error for one in recent[-4:])
            return good and time.monotonic() - begin > AFTER_SECONDS

        return quiet
