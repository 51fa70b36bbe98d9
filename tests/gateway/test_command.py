"""The command: what it refuses, and by which exit status a playbook knows why."""

from __future__ import annotations

from pathlib import Path

import pytest

from z_image_turbo_gateway import command, nginx
from z_image_turbo_gateway.state import State

TOO_FEW, NOTHING_TO_SPARE = 3, 4


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """The files of an agent that follows at once."""
    state = State(tmp_path, tmp_path / "status.json")
    monkeypatch.setattr(command, "State", lambda: state)
    monkeypatch.setattr(nginx, "Paths", lambda: type("Paths", (), {"folder": tmp_path}))
    return state


def fleet(state: State, *names: str, out: str = "") -> None:
    """Have the agent tell of these instances, of which one may be out of service by itself."""
    rows = {
        name: {"level": "out" if name == out else "in", "drained": True, "connections": 0} for name in names
    }
    state.report({"applied": True, "error": "", "instances": rows})


def test_half_of_the_instances_may_be_drained_and_no_more_unless_forced(gateway: State) -> None:
    fleet(gateway, "a", "b", "c", "d")
    assert command.main(["drain", "a", "b"]) == 0
    assert command.main(["drain", "c"]) == TOO_FEW
    assert gateway.drained() == {"a", "b"}
    assert command.main(["drain", "--force", "c"]) == 0
    assert command.main(["drain", "--force", "d"]) == TOO_FEW
    assert gateway.drained() == {"a", "b", "c"}


def test_one_that_is_out_by_itself_counts(gateway: State) -> None:
    fleet(gateway, "a", "b", out="b")
    assert command.main(["drain", "a"]) == TOO_FEW
    assert gateway.drained() == set()


def test_what_cannot_be_spared_is_told_apart(gateway: State, capsys: pytest.CaptureFixture[str]) -> None:
    fleet(gateway, "a")
    assert command.main(["drain", "a"]) == NOTHING_TO_SPARE
    assert command.main(["drain", "b"]) == NOTHING_TO_SPARE
    assert "No instance is called b. There are a." in capsys.readouterr().err


def test_an_undrain_in_a_name_leaves_the_operators(gateway: State) -> None:
    fleet(gateway, "a", "b", "c", "d")
    assert command.main(["drain", "a"]) == 0
    assert command.main(["drain", "--by", "rollout", "a", "b"]) == 0
    rows = {name: {"level": "in", "drained": name == "a", "connections": 0} for name in "abcd"}
    gateway.report({"applied": True, "error": "", "instances": rows})
    assert command.main(["undrain", "--by", "rollout", "--until-in", "a", "b"]) == 0
    assert gateway.drained() == {"a"}
