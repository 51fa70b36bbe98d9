"""A rehearsal leaves out the hosts on which nothing is to do, and no other one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ansible import constants

from plugins.callback.rehearsal import CallbackModule
from plugins.lookup.rehearsal import NOBODY, LookupModule

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ["gpu1", "gpu2", "gpu3"]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CallbackModule:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    callback = CallbackModule()
    callback.v2_playbook_on_play_start(play(rehearsal="application"))
    return callback


def play(check_mode: bool = False, **variables: Any) -> Any:
    options = SimpleNamespace(_options_vars={"ansible_check_mode": check_mode})
    return SimpleNamespace(vars=variables, get_variable_manager=lambda: options)


def result(host: str, *, changed: bool = False, check_mode: bool = True) -> Any:
    return SimpleNamespace(
        task=SimpleNamespace(check_mode=check_mode),
        host=SimpleNamespace(get_name=lambda: host),
        result={"changed": changed},
    )


def to_do() -> str:
    (pattern,) = LookupModule().run(["application"], hosts=HOSTS)
    return pattern


def test_without_a_rehearsal_it_is_all_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    assert to_do() == "gpu1:gpu2:gpu3"


def test_hosts_on_which_nothing_would_change_are_left_out(notes: CallbackModule) -> None:
    notes.v2_runner_on_ok(result("gpu1"))
    notes.v2_runner_on_ok(result("gpu2", changed=True))
    notes.v2_runner_on_ok(result("gpu2"))
    assert to_do() == "gpu2:gpu3", "gpu3 has not been looked at"


def test_a_host_that_fails_or_is_gone_is_left_to_the_play(notes: CallbackModule) -> None:
    for host in HOSTS:
        notes.v2_runner_on_ok(result(host))
    assert to_do() == NOBODY
    notes.v2_runner_on_failed(result("gpu1"), ignore_errors=True)
    notes.v2_runner_on_unreachable(result("gpu3"))
    assert to_do() == "gpu1:gpu3"


def test_what_is_done_in_earnest_is_no_rehearsal(notes: CallbackModule) -> None:
    notes.v2_runner_on_ok(result("gpu1", check_mode=False))
    notes.v2_playbook_on_play_start(play())
    notes.v2_runner_on_ok(result("gpu2"))
    assert to_do() == "gpu1:gpu2:gpu3"


@pytest.mark.parametrize("check_mode", [True, False])
def test_tasks_of_a_rehearsal_know_that_it_is_one_and_those_after_it_what_the_run_is(
    check_mode: bool,
) -> None:
    callback, seen = CallbackModule(), []
    options = play(check_mode).get_variable_manager()
    for variables in ({}, {"rehearsal": "cuda"}, {}, {"rehearsal": "application"}, {}):
        callback.v2_playbook_on_play_start(
            SimpleNamespace(vars=variables, get_variable_manager=lambda: options)
        )
        seen.append(options._options_vars["ansible_check_mode"])
    assert seen == [check_mode, True, check_mode, True, check_mode]
