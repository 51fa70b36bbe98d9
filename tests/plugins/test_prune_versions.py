"""Old versions go, and one that is in use never does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.modules.prune_versions import files_named, prune, running_programs

MARK = ".complete"


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A folder with the versions 1 to 5, the last one the newest, and one that was never completed."""
    folder = tmp_path / "versions"
    for age in range(1, 6):
        (folder / str(age)).mkdir(parents=True)
        (folder / str(age) / MARK).touch()
        os.utime(folder / str(age) / MARK, (age, age))
    (folder / "begun").mkdir()
    (folder / ".cache").mkdir()
    return folder


def left(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if not entry.is_symlink()}


def test_the_newest_stay_and_what_is_no_version_does(versions: Path) -> None:
    removed = prune(versions, 2, MARK, [])
    assert left(versions) == {"4", "5", ".cache"}
    assert removed == sorted(str(versions / name) for name in ("1", "2", "3", "begun"))


def test_the_target_of_a_link_stays(versions: Path) -> None:
    (versions / "current").symlink_to("1")
    prune(versions, 1, MARK, [])
    assert left(versions) == {"1", "5", ".cache"}


def test_what_a_programs_file_names_stays(versions: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(f"command = {versions}/2/bin/python app.py\n")
    prune(versions, 1, MARK, files_named([f"{tmp_path}/*.conf"]))
    assert left(versions) == {"2", "5", ".cache"}


def test_what_a_running_program_was_started_from_stays(versions: Path, tmp_path: Path) -> None:
    for number, command in enumerate((f"{versions}/3/bin/python\0app.py\0", f"prog\0--home\0{versions}/2\0")):
        process = tmp_path / "proc" / str(number + 1)
        process.mkdir(parents=True)
        (process / "cmdline").write_text(command)
        (process / "exe").symlink_to("/usr/bin/python3.11")
    prune(versions, 1, MARK, running_programs(tmp_path / "proc"))
    assert left(versions) == {"2", "3", "5", ".cache"}


def test_a_version_whose_name_only_begins_alike_is_not_taken_for_it(versions: Path) -> None:
    (versions / "11").mkdir()
    prune(versions, 1, MARK, [f"{versions}/11/bin/python"])
    assert left(versions) == {"11", "5", ".cache"}


def test_a_check_removes_nothing_and_tells_the_same(versions: Path) -> None:
    before = left(versions)
    told = prune(versions, 2, MARK, [], check=True)
    assert left(versions) == before
    assert told == prune(versions, 2, MARK, [])


def test_a_folder_that_is_not_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert prune(tmp_path / "none", 1, MARK, []) == []
