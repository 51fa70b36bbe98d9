"""Measure what sharing a batch gains: of the model alone, and as callers at once see it.

usage: PYTHONPATH=app python -m benchmarks.batching.run --model-path models/nano [--sides 128 256 512 ...]
       [--batches 1 2 4 8] [--callers 6] [--rounds 5] [--output FILE] [--setting quantize=fp8 ...]

What counts are the ratios to the same pictures one by one. The ways take turns within a round, so that
whatever else the machine does falls on all of them alike. On a CPU the seconds of the model are those of the
processor, which others' work does not lengthen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from z_image_turbo.engine import DiffusersEngine
from z_image_turbo.jobs import Way
from z_image_turbo.lifecycle import State
from z_image_turbo.pictures import make_order
from z_image_turbo.service import Service
from z_image_turbo.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from z_image_turbo.engine import Engine

PROMPT = "a red circle on a blue background"
READY_SECONDS = 1800
DRAWN_BY_EACH = 4  # pictures of each caller in a round


def settings_for(options: argparse.Namespace, side: int, **values: object) -> Settings:
    """Return the settings of an instance that draws pictures of one size."""
    given = dict(pair.split("=", 1) for pair in options.setting)
    small = {"side_min": 16, "side_default": side, "side_max": max(side, 256), "images_max": 64}
    return Settings.model_validate({"model_path": options.model_path, **small, **given, **values})


class Loaded:
    """An engine that is loaded already, for one instance after another."""

    def __init__(self, engine: Engine) -> None:
        """Stand for `engine`."""
        self._engine = engine

    def load(self) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        """Leave the rest to the engine."""
        return getattr(self._engine, name)


def draw(engine: Engine, settings: Settings, count: int) -> float:
    """Return the seconds of one batch of `count` pictures."""
    order = make_order(settings, prompt=PROMPT, seed=1, count=count)
    clock = time.process_time if engine.facts()["device"] == "cpu" else time.perf_counter
    begin = clock()
    engine.draw(order.pictures, lambda *_: None)
    return clock() - begin


def measure_model(engine: Engine, options: argparse.Namespace, side: int) -> dict[str, Any]:
    """Return the seconds for a picture by batch size, of each round."""
    settings = settings_for(options, side)
    seconds: dict[int, list[float]] = {count: [] for count in options.batches}
    for count in options.batches:
        draw(engine, settings, count)  # what is set up for a new shape is not counted
    for _ in range(options.rounds):
        for count in options.batches:
            seconds[count].append(draw(engine, settings, count) / count)
    return {"side": side, "seconds_for_a_picture": seconds}


def call(service: Service, options: argparse.Namespace) -> tuple[float, list[float]]:
    """Have callers ask for one picture after another; return pictures a second, and each one's seconds."""

    def one_caller(number: int) -> list[float]:
        waited = []
        for index in range(DRAWN_BY_EACH):
            order = make_order(service.settings, prompt=PROMPT, seed=number * 1000 + index)
            begin = time.perf_counter()
            job = service.submit(order, Way.OPENAI, f"caller {number}")
            asyncio.run(job.images())
            waited.append(time.perf_counter() - begin)
        return waited

    begin = time.perf_counter()
    with ThreadPoolExecutor(options.callers) as pool:
        waited = [seconds for one in pool.map(one_caller, range(options.callers)) for seconds in one]
    return len(waited) / (time.perf_counter() - begin), waited


def measure_callers(engine: Engine, options: argparse.Namespace, side: int) -> dict[str, Any]:
    """Return what callers at once get where each request is drawn alone, and where they share batches."""
    ways = {
        "alone": settings_for(options, side, batch_images_max=1),
        "no window": settings_for(options, side, batch_wait_ms=0, batch_pixels_max=side * side),
        "default window": settings_for(options, side, batch_pixels_max=side * side),
    }
    services = {}
    for name, settings in ways.items():
        services[name] = service = Service(settings, Loaded(engine))
        service.start()
        deadline = time.monotonic() + READY_SECONDS
        while service.lifecycle.state is State.LOADING and time.monotonic() < deadline:
            time.sleep(0.05)
        call(service, options)  # not counted
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, service in services.items():
            rate, waited = call(service, options)
            rounds[name].append({"pictures_a_second": rate, "median_seconds": statistics.median(waited)})
    for service in services.values():
        service.stop()
    return {"side": side, "callers": options.callers, "rounds": rounds}


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| side | pictures a batch | seconds a picture | times as fast as one by one |",
        "|---|---|---|---|",
    ]
    for row in found["model"]:
        medians = {count: statistics.median(all_) for count, all_ in row["seconds_for_a_picture"].items()}
        single = medians[min(medians)]
        lines += [
            f"| {row['side']} | {count} | {seconds:.3f} | {single / seconds:.2f} |"
            for count, seconds in medians.items()
        ]
    lines += [
        "",
        "| side | callers | batches | pictures a second | against alone | median wait, s |",
        "|---" * 6 + "|",
    ]
    for row in found["callers"]:
        rates = {
            name: statistics.median(one["pictures_a_second"] for one in all_)
            for name, all_ in row["rounds"].items()
        }
        waits = {
            name: statistics.median(one["median_seconds"] for one in all_)
            for name, all_ in row["rounds"].items()
        }
        lines += [
            f"| {row['side']} | {row['callers']} | {name} | {rate:.2f} | {rate / rates['alone']:.2f} "
            f"| {waits[name]:.2f} |"
            for name, rate in rates.items()
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure what sharing a batch gains.")
    parser.add_argument("--model-path", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 768, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--callers", type=int, default=6, help="0 leaves that part out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="of the application"
    )
    parser.add_argument("--output", type=Path, help="file for the raw figures")
    options = parser.parse_args(arguments)
    engine = DiffusersEngine(settings_for(options, max(options.sides)))
    engine.load()
    found = {
        "machine": {"processor": platform.processor() or platform.machine(), **engine.facts()},
        "setting": options.setting,
        "model": [measure_model(engine, options, side) for side in options.sides],
        "callers": [measure_callers(engine, options, side) for side in options.sides if options.callers],
    }
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
