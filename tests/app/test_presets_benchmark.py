"""The benchmark of the presets runs whole, with a small model on the CPU."""

import json
import re
from pathlib import Path

import pytest
import torch
from diffusers import ZImageTransformer2DModel

from benchmarks.presets import run
from benchmarks.presets.model import SIZES
from plugins.plugin_utils.gpus import PRESETS


def test_every_preset_is_drawn_with_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "found.json"
    words = ["--size", "small", "--presets", "bf16", "fp8", "--sides", "64", "--batches", "2", "1"]
    run.main([*words, "--rounds", "1", "--folder", str(tmp_path), "--output", str(output)])
    exact, fp8 = json.loads(output.read_text())["presets"]
    assert [(row["side"], row["batch"]) for row in exact["pictures"]] == [(64, 1), (64, 2)]
    assert all(row["seconds_a_picture"][0] > 0 and row["gigabytes"] > 0 for row in exact["pictures"])
    assert "fp8" in fp8["error"]
    printed = capsys.readouterr().out
    assert f"| {PRESETS['fp8'].memory} |" in printed
    assert re.search(r'^preset_memory: \{"bf16": [\d.]+\}$', printed, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [output]  # the weights are gone


def test_the_full_size_has_as_many_parameters_as_the_plan_counts_with() -> None:
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel(**SIZES["full"].transformer, axes_lens=[1536, 512, 512])
    assert sum(weights.numel() for weights in transformer.parameters()) == pytest.approx(6.155e9, rel=0.001)
