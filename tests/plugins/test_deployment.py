"""Two runs never are at work on a host at once, and what a dead one has left keeps nobody away."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from plugins.action.deployment import (
    breaking,
    control_node,
    is_gone,
    process_of_run,
    sentence,
    started_at,
    this_run,
)
from plugins.callback.deployment import same_options
from plugins.modules.deployment import Record, begin, end, undo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "record")


def wanted(**changed: Any) -> dict[str, Any]:
    return {
        "lock": {"id": "me"},
        "replaces": "",
        "remember": True,
        "files": [],
        "services": [],
        "traces": [],
        "version": "",
        **changed,
    }


def run_by(name: str, record: Record, **changed: Any) -> dict[str, Any]:
    """Begin a run; return who keeps it away."""
    held: dict[str, Any] = begin(record, wanted(lock={"id": name}, **changed), check=False)["held"]
    return held


def test_a_second_run_is_kept_away_until_the_first_has_ended(record: Record) -> None:
    assert run_by("ann", record) == {}
    assert run_by("ben", record)["id"] == "ann"
    assert end(record, wanted(lock={"id": "ben"}), check=False)["held"]["id"] == "ann"
    assert end(record, wanted(lock={"id": "ann"}), check=False)["held"] == {}
    assert run_by("ben", record) == {}


def test_a_run_may_begin_twice(record: Record) -> None:
    assert run_by("ann", record) == run_by("ann", record) == {}


def test_a_lock_is_taken_over_when_it_is_nobodys_or_the_operator_says_so(record: Record) -> None:
    run_by("ann", record)
    assert run_by("ben", record, replaces="carl")["id"] == "ann"
    assert run_by("ben", record, replaces="ann") == {}
    assert run_by("carl", record, replaces="*") == {}


def test_a_lock_that_makes_no_sense_keeps_nobody_away(record: Record) -> None:
    run_by("ann", record)
    record.lock_file.write_text("{half a")
    assert run_by("ben", record) == {}


def test_check_mode_takes_and_writes_nothing(record: Record) -> None:
    assert begin(record, wanted(), check=True)["changed"]
    assert not record.folder.exists()


def test_how_the_host_was_is_written_down_once_and_files_come_back(record: Record, tmp_path: Path) -> None:
    file, link = tmp_path / "nginx.conf", tmp_path / "default"
    file.write_text("of somebody")
    link.symlink_to("elsewhere")
    files = {"files": [str(file), str(link), str(tmp_path / "missing")]}
    assert begin(record, wanted(**files), check=False)["changed"]
    file.write_text("ours")
    link.unlink()
    assert not begin(record, wanted(**files), check=False)["changed"]
    assert "dpkg" in record.before()["packages"]
    undo(record, wanted(), check=False)
    assert (file.read_text(), str(link.readlink())) == ("of somebody", "elsewhere")
    assert not record.folder.exists()


def test_a_host_that_was_set_up_before_there_were_records_is_told_from_a_fresh_one(
    record: Record, tmp_path: Path
) -> None:
    begin(record, wanted(traces=[str(tmp_path)]), check=False)
    assert record.before()["complete"] is False


def test_the_version_is_that_of_the_last_run_which_came_to_its_end(record: Record) -> None:
    assert begin(record, wanted(), check=False)["version"] == ""
    assert end(record, wanted(version="0.2.0"), check=False)["changed"]
    assert not end(record, wanted(version="0.2.0"), check=False)["changed"]
    assert begin(record, wanted(), check=False)["version"] == "0.2.0"


def test_a_run_of_this_machine_is_gone_when_its_process_is() -> None:
    lock = this_run(os.getpid()) | {"age": 9999}
    assert not is_gone(lock, 60)
    with subprocess.Popen(["sleep", "60"]) as process:
        other = {**lock, "process": process.pid, "started": started_at(process.pid)}
        assert not is_gone(other, 60)
        process.kill()
    assert is_gone(other, 1e9)
    assert is_gone({**lock, "started": lock["started"] - 1}, 1e9), "the number belongs to another process now"


def test_what_outlives_a_run_that_was_killed_locks_nothing_for_it() -> None:
    fork = multiprocessing.get_context("fork")
    said, orphan_says, ended = fork.Queue(), fork.Queue(), fork.Event()

    def task() -> None:
        ended.wait(30)
        orphan_says.put((process_of_run(), is_gone(this_run(process_of_run()), 0)))

    def run() -> None:
        fork.Process(target=task).start()
        said.put(os.getpid())
        said.close()
        said.join_thread()
        os._exit(0)  # as if it were killed: its child goes on

    killed = fork.Process(target=run)
    killed.start()
    process = said.get(timeout=30)
    killed.join()
    ended.set()
    assert orphan_says.get(timeout=30) == (process, True)


@pytest.mark.parametrize("what", ["host", "machine", "namespace"])
def test_of_a_run_elsewhere_the_age_tells(what: str) -> None:
    lock = this_run(os.getpid()) | {"control": {**control_node(), what: "another"}, "started": 1}
    assert not is_gone(lock | {"age": 59}, 60)
    assert is_gone(lock | {"age": 61}, 60)


def test_a_run_from_before_a_reboot_of_this_machine_is_gone() -> None:
    assert is_gone(this_run(os.getpid()) | {"control": {**control_node(), "boot": "another"}}, 1e9)


def test_the_refusal_says_who_where_since_when_and_what_to_do(record: Record) -> None:
    run_by("ann", record)
    lock = run_by("ben", record) | this_run(4711) | {"user": "ann", "playbook": "site.yml", "age": 720}
    lock["control"]["host"] = "desk"
    said = sentence(lock, "gpu1")
    assert said.startswith("gpu1: ann is at work on it from desk (site.yml, process 4711, for 12 minutes).")
    assert "deployment_lock_override=true" in said


CHANGES = [{"version": "0.2.0", "what": "a", "do": "b"}, {"version": "0.10.0", "what": "c", "do": "d"}]


@pytest.mark.parametrize(
    ("deployed", "accepted", "asked"),
    [
        ("", "", []),  # a fresh host
        ("0.1.0", "", ["0.2.0", "0.10.0"]),
        ("0.2.0", "", ["0.10.0"]),
        ("0.1.0", "0.2.0", ["0.10.0"]),
        ("0.9.1", "0.10.0", []),
        ("0.10.0", "", []),
    ],
)
def test_a_change_that_breaks_something_needs_a_word_once(
    deployed: str, accepted: str, asked: list[str]
) -> None:
    assert [change["version"] for change in breaking(CHANGES, deployed, accepted)] == asked


def test_hosts_are_freed_by_the_same_way_that_they_are_reached() -> None:
    given = {
        "inventory": ("prod",),
        "extra_vars": ("a=1",),
        "become": True,
        "remote_user": "ann",
        "forks": 50,
    }
    options = same_options({**given, "vault_password_files": ("pw",), "private_key_file": None})
    assert options == [
        "--user=ann",
        "--forks=50",
        "--inventory=prod",
        "--extra-vars=a=1",
        "--vault-password-file=pw",
        "--become",
    ]
