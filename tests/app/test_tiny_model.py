"""The script that builds the small model."""

import subprocess
from pathlib import Path

import pytest

from scripts import build_tiny_model
from scripts.build_tiny_model import build


def test_the_manifest_verifies_with_sha256sum_and_lists_every_file(tiny_model: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tiny_model, check=True)
    listed = {line[66:] for line in (tiny_model / "SHA256SUMS").read_text().splitlines()}
    present = {path.relative_to(tiny_model).as_posix() for path in tiny_model.rglob("*") if path.is_file()}
    assert listed == present - {"SHA256SUMS"}


def test_the_same_seed_builds_the_same_model_and_another_seed_another(
    tiny_model: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        build(tmp_path / str(seed), seed)
    manifests = [
        (folder / "SHA256SUMS").read_text() for folder in (tiny_model, tmp_path / "0", tmp_path / "1")
    ]
    assert manifests[0] == manifests[1] != manifests[2]


def test_a_complete_model_is_left_alone_and_a_damaged_one_is_built_again(tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert build(model, 0)
    assert not build(model, 0)
    (model / "vae" / "config.json").write_text("{}")
    assert build(model, 0)
    assert not build(model, 0)


def test_everybody_may_read_it(tiny_model: Path) -> None:
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [tiny_model, *tiny_model.rglob("*")])


def test_an_interrupted_build_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, _seed: int) -> None:
        (folder / "model_index.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(build_tiny_model, "save_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "model", 0)
    assert list(tmp_path.iterdir()) == []
