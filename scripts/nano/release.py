"""Saving the trained model, and measuring what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers.utils.logging
from diffusers import ZImagePipeline

from scripts.build_tiny_model import MANIFEST, make_readable, manifest_of
from scripts.nano import world
from scripts.nano.measure import measure, report

if TYPE_CHECKING:
    from pathlib import Path

HELD_OUT_TIMES = 6


def save(pipeline: Any, folder: Path) -> None:  # noqa: ANN401 - diffusers has no types
    """Write the pipeline into `folder` in half precision, beside the model card that may be there."""
    transformers.utils.logging.disable_progress_bar()
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.transformer):
        part.to("cpu").half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    seal(folder)


def seal(folder: Path) -> None:
    """Let everybody read `folder`, and write the manifest of what it holds."""
    make_readable(folder)
    (folder / MANIFEST).write_text(manifest_of(folder), encoding="utf-8")


def load(folder: Path) -> Any:  # noqa: ANN401
    """Return the saved pipeline as the application loads it on a CPU."""
    pipeline = ZImagePipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def accuracy(folder: Path, times: int, seed: int) -> dict[str, Any]:
    """Measure the saved model on every scene, those seen in training and those held out apart.

    The held-out ones are few, so they are drawn more often.
    """
    pipeline = load(folder)
    seen = [scene for scene in world.all_scenes() if not world.is_held_out(scene)]
    held_out = [scene for scene in world.all_scenes() if world.is_held_out(scene)]
    return {
        "seen": report(measure(pipeline, seen, times, seed)),
        "held_out": report(measure(pipeline, held_out, times * HELD_OUT_TIMES, seed)),
    }
