"""The part of the metrics that the engine counts: taken from the worker's last figures, never from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from z_image_turbo.figures import Figures


class EngineCollector(Collector):
    """What draws, what memory it uses, and how often a text was known."""

    def __init__(self, figures: Figures, model_name: str) -> None:
        """Read `figures` whenever somebody asks."""
        self._figures = figures
        self._model_name = model_name

    def collect(self) -> Iterator[Metric]:
        """Return the figures by now; those of a GPU only where there is one."""
        figures = self._figures
        yield InfoMetricFamily(
            "zimage_model", "What draws", value={"model": self._model_name, **figures.facts}
        )
        yield CounterMetricFamily(
            "zimage_text_cache_hits", "Prompts that had been read before", value=figures.text_hits
        )
        yield CounterMetricFamily(
            "zimage_text_cache_misses", "Prompts that had to be read", value=figures.text_misses
        )
        memory = GaugeMetricFamily(
            "zimage_gpu_memory_bytes",
            "Memory of the GPU after the last batch: in all, used by anybody, and of this process that with "
            "something in it (allocated) and that with its reserve (reserved)",
            labels=["kind"],
        )
        for kind in ("total", "used"):
            if "system" in figures.memory:
                memory.add_metric([kind], figures.memory["system"][kind])
        for kind in ("allocated", "reserved"):
            if kind in figures.memory:
                memory.add_metric([kind], figures.memory[kind]["current"])
        yield memory
