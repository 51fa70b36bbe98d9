"""The tables of docs/gpu-hosts.md say what the plan counts with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.plugin_utils.gpus import PRESETS, find_model

PAGE = (Path(__file__).parents[2] / "docs" / "gpu-hosts.md").read_text()
CARDS = (16, 24, 48, 80, 141)
ROWS = {
    row[0]: row[1].split(" | ")
    for row in re.findall(r"^\| `(\w+)` \|.*?\| ([\d. |]+) \|$", PAGE, re.MULTILINE)
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_table_of_memory_has_what_each_preset_needs_and_how_many_fit(preset: str) -> None:
    need = PRESETS[preset].memory
    assert ROWS[preset] == [f"{need:.1f}", *(str(int(card // need)) for card in CARDS)]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`gpu_model: ([^`]+)`", PAGE))))
def test_every_model_that_the_page_names_is_known(name: str) -> None:
    assert find_model(name)
