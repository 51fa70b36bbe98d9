"""Notices a worker that hangs inside the device, where no exception ever comes out."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK_SECONDS = 1.0


class Pulse:
    """The worker's signs of life. One thread gives them, any other reads them."""

    def __init__(self) -> None:
        """Begin at rest."""
        self.beats = 0
        self.work = ""  # what is under way; nothing at rest
        self.silence_allowed = 0.0  # seconds

    @contextmanager
    def during(self, work: str, silence_allowed: float) -> Iterator[None]:
        """Promise a beat at least every `silence_allowed` seconds until the end of the block."""
        self.silence_allowed = silence_allowed
        self.beat(work)
        try:
            yield
        finally:
            self.beat("")

    def beat(self, work: str) -> None:
        """Tell that the work goes on, and how far it is."""
        self.work = work
        self.beats += 1


class Watchdog:
    """Watches a pulse from a thread of its own, and tells once when it has been silent for too long.

    Silence is summed up over its own ticks: when the whole process was frozen, or the machine asleep, the
    worker is not to blame.
    """

    def __init__(self, pulse: Pulse, on_stuck: Callable[[str], None], tick_seconds: float) -> None:
        """Call `on_stuck` with the reason, from the watching thread, when `pulse` keeps silent."""
        self._pulse = pulse
        self._on_stuck = on_stuck
        self._tick_seconds = tick_seconds
        self._seen = -1
        self._silence = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Cease to watch; returns at once."""
        self._stopped.set()

    def tick(self, elapsed: float) -> bool:
        """Look at the pulse after `elapsed` seconds; tell whether it has been silent for too long."""
        work, beats = self._pulse.work, self._pulse.beats
        if not work or beats != self._seen:
            self._seen, self._silence = beats, 0.0
            return False
        self._silence += min(elapsed, 2 * self._tick_seconds)
        if self._silence <= self._pulse.silence_allowed:
            return False
        self._on_stuck(f"the device has not answered for {self._silence:.0f} seconds ({work})")
        return True

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(self._tick_seconds):
            now = time.monotonic()
            if self.tick(now - last):
                return
            last = now
