"""Saving the trained model, and measuring what was saved."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
import transformers.utils.logging
from diffusers import ZImagePipeline

from scripts.nano import world
from scripts.nano.measure import measure, report

if TYPE_CHECKING:
    from pathlib import Path

HELD_OUT_TIMES = 6
MANIFEST = "SHA256SUMS"


def save(pipeline: Any, folder: Path) -> None:  # noqa: ANN401 - diffusers has no types
    """Write the pipeline into `folder` in half precision, beside the model card that may be there."""
    transformers.utils.logging.disable_progress_bar()
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.transformer):
        part.to("cpu").half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    seal(folder)


def seal(folder: Path) -> None:
    """Let everybody read `folder`, and write the manifest of what it holds."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):  # safetensors files are made private
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / MANIFEST).write_text(_manifest_of(folder), encoding="utf-8")


def verifies(folder: Path) -> bool:
    """Tell whether `folder` holds a manifest and exactly the files it lists."""
    manifest = folder / MANIFEST
    return manifest.is_file() and manifest.read_text(encoding="utf-8") == _manifest_of(folder)


def _manifest_of(folder: Path) -> str:
    """Return what SHA256SUMS should hold: `<hash>  <relative path>` of every other file, sorted by path."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n"
        for path in paths
        if path != MANIFEST
    )


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
