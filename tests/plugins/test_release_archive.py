"""The promises of the release archive."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError

from plugins.lookup.release_archive import LookupModule


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "app"
    (source / "package").mkdir(parents=True)
    (source / "app.py").write_text("print('hello')\n")
    (source / "package" / "module.py").write_text("x = 1\n")
    (source / "package" / "__pycache__").mkdir()
    (source / "package" / "__pycache__" / "module.pyc").write_bytes(b"compiled")
    (source / ".hidden").write_text("not for others")
    return source


def release(folder: Path) -> dict[str, str]:
    return LookupModule().run([str(folder)])[0]


def test_the_same_files_give_the_same_release(folder: Path) -> None:
    first = release(folder)
    os.utime(folder / "app.py", (0, 0))
    assert release(folder) == first


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_any_change_gives_another_release(folder: Path, change: str) -> None:
    before = release(folder)["id"]
    if change == "content":
        (folder / "app.py").write_text("print('bye')\n")
    elif change == "name":
        (folder / "app.py").rename(folder / "main.py")
    else:
        (folder / "app.py").chmod(0o755)
    assert release(folder)["id"] != before


def test_the_archive_holds_the_sources_and_nothing_of_the_control_node(folder: Path) -> None:
    with tarfile.open(release(folder)["path"]) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["app.py", "package/module.py"]
    assert {(member.uname, member.mode, member.mtime) for member in members} == {("root", 0o644, 0)}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match="nowhere is no folder"):
        release(tmp_path / "nowhere")
