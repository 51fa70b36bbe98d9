"""Measure what an instance needs of a GPU's memory, and how fast it draws, with each preset of the plan.

usage: PYTHONPATH=app python -m benchmarks.presets.run [--size full] [--presets bf16 fp8 int8 offload]
       [--sides 512 1024] [--batches 1 4] [--rounds 5] [--folder FOLDER] [--output FILE]

The model has random weights and the size of the released one (25 GB in FOLDER, which is removed afterwards),
so nothing is downloaded; "--model-path" takes one that is there. Each preset is loaded and drawn with by the
application's own engine, in a process of its own. Nothing else may use the GPU.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.plugin_utils.gpus import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT = "a red fox in the snow at dawn, an old harbour with wooden boats behind it"
LARGEST_FOR_TABLE = 1024  # the plan's figures are for pictures of up to this side, one at a time


def used_gigabytes() -> float:
    """Return the memory in use: of the GPU by everybody, else of this process at most."""
    import torch  # noqa: PLC0415 - in the process that draws alone

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def by_size(sides: Sequence[int], batches: Sequence[int]) -> list[tuple[int, int]]:
    """Return side and batch of all drawings, small ones first: PyTorch keeps what a larger one has needed."""
    return sorted(
        itertools.product(sides, batches), key=lambda drawing: (drawing[0] ** 2 * drawing[1], drawing[1])
    )


def measure(model_path: Path, preset: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what an instance with a preset needs, and how long it takes; `error` says why it cannot be."""
    from benchmarks.batching.run import draw  # noqa: PLC0415
    from z_image_turbo.engine import DiffusersEngine  # noqa: PLC0415
    from z_image_turbo.settings import Settings  # noqa: PLC0415

    found: dict[str, Any] = {"preset": preset, "pictures": []}
    values = {"model_path": model_path, "side_min": 16, "side_max": 2048, "images_max": 64}
    try:
        engine: DiffusersEngine | None = None
        for side, count in by_size(options["sides"], options["batches"]):
            settings = Settings.model_validate(values | PRESETS[preset].settings | {"side_default": side})
            if engine is None:
                engine = DiffusersEngine(settings)
                begun = time.perf_counter()
                engine.load()
                found |= {"load_seconds": time.perf_counter() - begun, **engine.facts()}
                found["loaded_gigabytes"] = used_gigabytes()
            first = draw(engine, settings, count)
            seconds = [draw(engine, settings, count) for _ in range(options["rounds"])]
            found["pictures"].append(
                {
                    "side": side,
                    "batch": count,
                    "first_seconds": first,
                    "seconds_a_picture": [one / count for one in seconds],
                    "gigabytes": used_gigabytes(),
                }
            )
    except Exception as error:  # noqa: BLE001 - whatever keeps a preset from running here is its result
        found["error"] = " ".join(str(error).split())[:300]
    return found


def in_its_own_process(model_path: Path, preset: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what `measure` does, with nothing left on the GPU by another preset."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(measure, model_path, preset, options).result()


def table(presets: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown, and what they make of the inventory."""
    lines = [
        "| preset | side | pictures a batch | seconds a picture | a minute | GB in use | plan's GB |",
        "|---" * 7 + "|",
    ]
    needs = {}
    for one in presets:
        if "error" in one:
            lines.append(f"| {one['preset']} | | | {one['error']} | | | {PRESETS[one['preset']].memory} |")
        for row in one["pictures"]:
            seconds = statistics.median(row["seconds_a_picture"])
            lines.append(
                f"| {one['preset']} | {row['side']} | {row['batch']} | {seconds:.3f} | {60 / seconds:.1f} "
                f"| {row['gigabytes']:.1f} | {PRESETS[one['preset']].memory} |"
            )
            if row["side"] <= LARGEST_FOR_TABLE and row["batch"] == 1 and "error" not in one:
                needs[one["preset"]] = round(row["gigabytes"], 1)
    return "\n".join([*lines, "", f"preset_memory: {json.dumps(needs)}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure the presets of the plan.")
    parser.add_argument("--size", choices=["full", "small"], default="full")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model-path", type=Path, help="a model that is there, in place of random weights")
    parser.add_argument("--folder", type=Path, help="where the random weights go for a while")
    parser.add_argument("--output", type=Path, help="file for the raw figures")
    options = parser.parse_args(arguments)
    asked = {"sides": options.sides, "batches": options.batches}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        parameters = {}
        if options.model_path is None:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                parameters = pool.submit(write_model, options.size, Path(folder)).result()
        presets = [
            in_its_own_process(options.model_path or Path(folder), preset, asked | {"rounds": options.rounds})
            for preset in options.presets
        ]
    found = {"machine": platform.machine(), "billions_of_parameters": parameters, "presets": presets}
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(presets))


def write_model(size: str, folder: Path) -> dict[str, float]:
    """Build and write the model, in a process that then lets go of the GPU."""
    from benchmarks.presets.model import write  # noqa: PLC0415

    return write(size, folder)


if __name__ == "__main__":
    main()
