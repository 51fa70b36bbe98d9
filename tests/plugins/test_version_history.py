"""The history on a host: noted in one step, kept short, and never changed for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.modules.version_history import begin, read, serve, write

OLD, NEW = {"release": "old"}, {"release": "new"}
NOTHING: dict[str, Any] = {"current": {}, "begun": {}, "versions": []}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"current": 1, "begun": {}, "versions": []}'])
def test_a_file_that_is_missing_or_broken_says_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "history") == NOTHING
    (tmp_path / "history").write_text(text)
    assert read(tmp_path / "history") == NOTHING


def test_what_serves_already_is_no_change() -> None:
    serving = serve(NOTHING, OLD, 1, way_back=False)
    assert serve(serving, OLD, 2, way_back=False) == serving
    assert begin(serving, OLD) == serving


def test_a_version_that_comes_again_is_the_latest_and_there_once() -> None:
    history = NOTHING
    for now, version in enumerate([OLD, NEW, OLD]):
        history = serve(history, version, now, way_back=False)
    assert [entry["release"] for entry in history["versions"]] == ["new", "old"]


def test_a_file_is_there_in_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history"
    write("first", path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plugins.modules.version_history.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write("second", path)
    assert path.read_text() == "first"
