"""The store: revisions side by side, only what is missing fetched, nothing removed that is in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.fetch import Order
from model_store.manifest import File, StoreError, choose, parse, render
from model_store.store import Store
from tests.store.lab_hub import COMMIT, NANO, NEXT, LabHub, get

Make = Callable[..., Order]
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - the shape of shutil's own


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), "nano")


def test_an_upgrade_fetches_only_the_files_that_differ(hub: LabHub, order: Make, store: Store) -> None:
    old = get(order())
    hub.faults()
    new = get(order(f"hf://lab/nano@{NEXT}"))
    assert hub.sent() < 100_000
    assert {revision.name for revision in store.revisions()} == {old.revision, new.revision}
    assert (store.folder / old.revision / "README.md").read_text() != "another text\n"


def test_a_disk_that_is_too_small_is_refused_with_the_numbers_before_anything_is_fetched(
    hub: LabHub, order: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9_000_000, 5_000_000, 4_000_000))
    with pytest.raises(
        StoreError, match=r"5\.2 MB.*4\.0 MB free: 1\.3 MB too little\. Make room, or set"
    ) as refusal:
        get(order(f"modelscope://lab/nano@{COMMIT}", reserve=100_000))
    assert "12 of 12 files" in str(refusal.value)
    assert hub.sent() == 0


def revisions(store: Store, *names: str) -> None:
    """Make complete revisions, the oldest first."""
    for age, name in enumerate(names):
        shutil.copytree(NANO, store.folder / name)
        mark = store.folder / name / ".complete"
        mark.touch()
        os.utime(mark, (age, age))


def test_the_youngest_revisions_stay_and_the_current_one_in_any_case(store: Store) -> None:
    revisions(store, "a", "b", "c", "d")
    assert store.prune(2, "a", []) == ["c", "b"]
    assert [revision.name for revision in store.revisions()] == ["d", "a"]


def test_a_revision_that_a_configuration_names_is_never_removed(store: Store, tmp_path: Path) -> None:
    revisions(store, "a", "b", "c")
    (tmp_path / "programs.conf").write_text(f'environment = MODEL="{store.folder}/a"\n')
    assert store.prune(1, "c", [f"{tmp_path}/*.conf"]) == ["b"]


def test_a_revision_that_a_running_process_has_been_given_is_never_removed(store: Store) -> None:
    revisions(store, "a", "b", "c")
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={"MODEL": str(store.folder / "a")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert store.prune(1, "c", []) == ["b"]
        process.communicate()


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "a/../../b", ".complete", "a\\b"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(StoreError, match="would not lie in the model's folder"):
        choose([File(path, 1, "a" * 64)], [])


def test_a_file_that_can_run_code_is_refused_with_the_way_to_leave_it_out() -> None:
    files = [File("model.bin", 1, "a" * 64), File("model.safetensors", 1, "b" * 64)]
    with pytest.raises(StoreError, match="model_store_exclude"):
        choose(files, [])
    assert choose(files, ["*.bin"]) == files[1:]


def test_the_manifest_is_the_one_that_the_documented_command_makes() -> None:
    text = (NANO / "SHA256SUMS").read_text()
    assert render(parse(text)[::-1]) == text
