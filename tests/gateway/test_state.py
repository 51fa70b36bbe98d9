"""The agent's files: what is missing or broken says nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path, tmp_path / "status.json")


def test_drains_are_kept_until_they_are_taken_back(state: State, tmp_path: Path) -> None:
    assert state.drained() == set()
    state.drain("gpu1-a")
    state.drain("gpu1-b")
    state.undrain("gpu1-b")
    state.undrain("gpu1-b")
    assert State(tmp_path, tmp_path / "status.json").drained() == {"gpu1-a"}


def test_a_rollout_takes_back_its_own_drains_and_no_operators(state: State) -> None:
    state.drain("gpu1-a")
    for name in ("gpu1-a", "gpu1-b", "gpu1-c"):
        state.drain(name, "rollout")
    state.drain("gpu1-c")
    for name in ("gpu1-a", "gpu1-b", "gpu1-c"):
        state.undrain(name, "rollout")
    assert state.drained() == {"gpu1-a", "gpu1-c"}
    state.undrain("gpu1-a")
    assert state.drained() == {"gpu1-c"}


def test_decisions_are_kept(state: State) -> None:
    state.remember({"gpu1-a": (Level.OUT, "it does not answer")})
    assert state.removed() == {"gpu1-a": (Level.OUT, "it does not answer")}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"a": 1}', '{"a": [9, ""]}', '{"a": [1, ""'])
def test_a_broken_file_says_that_nothing_was_decided(state: State, tmp_path: Path, text: str) -> None:
    (tmp_path / "removed.json").write_text(text)
    assert state.removed() == {}


def test_what_an_agent_told_that_is_gone_is_no_status(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.report({"applied": True})
    assert (state.status() or {})["applied"]
    now = time.time()
    monkeypatch.setattr("z_image_turbo_gateway.state.time.time", lambda: now + 60)
    assert state.status() is None
