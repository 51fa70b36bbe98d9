"""The list of faults, the tests that show them, the figures, and the page are one."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from scripts import faults_table

ROOT = Path(__file__).parents[2]
FAULTS = [fault for _, fault in faults_table.faults()]


def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["fault"]))
def test_a_fault_has_a_test_that_is_there(fault: dict[str, str]) -> None:
    path, _, name = fault["test"].partition("::")
    assert name.partition("[")[0] in functions_in(ROOT / "molecule" / path)


def test_every_test_of_the_scenario_is_in_the_list() -> None:
    listed = {fault["test"].partition("[")[0] for fault in FAULTS}
    written = {
        f"{path.relative_to(ROOT / 'molecule')}::{name}"
        for path in (ROOT / "molecule" / "faults").glob("*/test_*.py")
        for name in functions_in(path)
        if name.startswith("test_")
    }
    assert written - listed == set()


def test_there_are_forty_faults_and_twenty_of_them_are_measured() -> None:
    assert len(FAULTS) >= 40
    assert sum(map(faults_table.is_measured, FAULTS)) >= 20
    assert len({fault["test"] for fault in FAULTS}) == len(FAULTS)


def test_the_page_has_the_figures_of_the_last_run() -> None:
    text = faults_table.PAGE.read_text()
    assert faults_table.page(text, json.loads(faults_table.RESULTS.read_text())) == text
