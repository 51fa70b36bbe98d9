"""A command in the background is followed to its end, and its end is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.action import background_command
from plugins.action.background_command import ActionModule


class Host(ActionModule):
    """A host on which the unit goes from one state to the next each time that it is looked at."""

    def __init__(self, *states: tuple[str, str, dict[str, Any]]) -> None:
        self.unit, self.status, self.host = "fetch", "/run/fetch.json", "gpu1"
        self.states = list(states)
        self.commands: list[str] = []

    def command(self, line: str) -> dict[str, Any]:
        self.commands.append(line)
        if "systemctl show" not in line:
            return {"rc": 0, "stdout": "", "stderr": ""}
        state, how, told = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"rc": 0, "stdout": f"Result={how}\nActiveState={state}\n{json.dumps(told)}\n", "stderr": ""}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Wait for nothing, and return what is shown."""
    shown: list[str] = []
    monkeypatch.setattr(background_command, "POLL_SECONDS", (0,))
    monkeypatch.setattr(background_command, "SHOW_SECONDS", (-1,))
    monkeypatch.setattr("ansible.utils.display.Display.display", lambda _self, text: shown.append(text))
    return shown


def running(text: str) -> tuple[str, str, dict[str, Any]]:
    return "active", "success", {"state": "running", "text": text}


def test_what_the_command_tells_is_shown_with_the_host_once_and_its_result_returned(quick: list[str]) -> None:
    done = ("inactive", "success", {"state": "done", "result": {"revision": "abc"}})
    host = Host(running("1 of 5 GB"), running("1 of 5 GB"), running("3 of 5 GB"), done)
    assert host.judge(host.follow()) == {"changed": True, "result": {"revision": "abc"}}
    assert quick == ["gpu1: 1 of 5 GB", "gpu1: 3 of 5 GB"]


def test_a_failure_is_told_in_the_words_of_the_command_and_leaves_no_failed_unit() -> None:
    host = Host(("failed", "exit-code", {"state": "failed", "text": "the disk is full"}))
    assert host.judge(host.follow()) == {"failed": True, "msg": "the disk is full"}
    assert host.commands[-1] == "systemctl reset-failed fetch"


def test_a_command_that_was_killed_is_told_with_the_reason_and_how_far_it_was() -> None:
    host = Host(("failed", "timeout", {"state": "running", "text": "3 of 5 GB"}))
    message = host.judge(host.follow())["msg"]
    assert message.startswith("gpu1: fetch was ended (timeout) at: 3 of 5 GB")
    assert "Run again to go on" in message


def test_a_server_that_runs_is_stopped_and_one_that_does_not_is_no_change() -> None:
    assert Host(running("")).stop() == {"changed": True}
    assert Host(("inactive", "success", {})).stop() == {"changed": False}


def test_a_unit_that_does_not_start_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(("inactive", "success", {}))
    monkeypatch.setattr(Host, "command", lambda *_: {"rc": 1, "stdout": "", "stderr": "no systemd"})
    assert host.start(["true"], 1) == {"failed": True, "msg": "fetch does not start: no systemd"}
