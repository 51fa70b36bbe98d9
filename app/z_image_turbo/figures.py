"""What the worker measures, for the metrics: written by its thread alone, read by any."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from z_image_turbo.engine import Engine


@dataclass
class Figures:
    """The engine's last figures, and who wants to know of every step and batch.

    The device is asked on the worker's thread only: a lost one would hang whoever asks.
    """

    facts: dict[str, str] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    text_hits: int = 0
    text_misses: int = 0
    on_step: list[Callable[[float], None]] = field(default_factory=list)  # seconds
    on_batch: list[Callable[[int], None]] = field(default_factory=list)  # pictures

    def step(self, seconds: float) -> None:
        """Note that one step took `seconds`."""
        for call in self.on_step:
            call(seconds)

    def batch(self, pictures: int) -> None:
        """Note that so many pictures were drawn as one batch."""
        for call in self.on_batch:
            call(pictures)

    def note(self, engine: Engine) -> None:
        """Take over what `engine` tells by now."""
        self.facts = engine.facts()
        self.memory = engine.memory()
        self.text_hits, self.text_misses = engine.texts()
