"""What the check tells, and what it takes for a picture, a GPU, a hold: each piece by itself."""

from __future__ import annotations

import io
import json
import os
import stat
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.health.hosts import OPTIONS
from z_image_turbo_health import gpus, memory, telling
from z_image_turbo_health.conditions import Record
from z_image_turbo_health.drawing import is_picture
from z_image_turbo_health.settings import SettingsError, read_settings

ONE, TWO = "GPU-00000000-0000", "GPU-00000001-0000"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_whole_picture_of_the_size_that_was_asked_for_is_one() -> None:
    good = png(Image.linear_gradient("L").convert("RGB"))
    assert is_picture(good, 256)
    assert not is_picture(good, 512)
    assert not is_picture(good[:-40], 256)
    assert not is_picture(good[:60] + bytes(20) + good[80:], 256)
    assert not is_picture(png(Image.new("RGB", (256, 256))), 256)
    assert not is_picture(b"<html>", 256)


def smi(folder: Path, script: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_gpu_that_is_listed_is_there(tmp_path: Path) -> None:
    command = smi(tmp_path, f'echo "GPU 0: a card (UUID: {ONE})"')
    assert gpus.troubles([ONE, "0"], command) == {}


def test_only_the_gpu_that_is_lost_is_told(tmp_path: Path) -> None:
    lost = "Unable to determine the device handle for GPU0000:41:00.0: GPU is lost."
    command = smi(tmp_path, f'case "$1" in --id={ONE}) echo {ONE};; *) echo "{lost}"; exit 15;; esac')
    assert gpus.troubles([ONE, TWO], command) == {TWO: f"GPU {TWO}: {lost}"}


def test_an_nvidia_smi_that_hangs_does_not_hang_the_check(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "does not answer" in gpus.troubles([ONE], smi(tmp_path, "exec sleep 60"), 0.3)[ONE]
    assert time.monotonic() - began < 5


def test_without_nvidia_smi_nothing_is_said_of_gpus() -> None:
    assert gpus.troubles([ONE], "/nowhere/nvidia-smi") == {}


def test_a_hold_ends_by_itself_when_it_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "hold").mkdir()
    for name, age in (("fresh", 60), ("forgotten", 31 * 60)):
        (tmp_path / "hold" / name).touch()
        os.utime(tmp_path / "hold" / name, (time.time() - age,) * 2)
    assert memory.held(["fresh", "forgotten", "free"], tmp_path) == {"fresh"}


def test_what_is_remembered_outlives_the_run_and_not_the_boot(tmp_path: Path) -> None:
    now = time.monotonic()
    record = Record(condition="stuck", totals={"silent": 2}, restarts=[now - 60])
    memory.keep(memory.Memory({"a": record}, now), tmp_path)
    assert memory.recall(["a", "b"], tmp_path).records["a"] == record
    memory.keep(memory.Memory({"a": record}, now + 10_000), tmp_path)
    assert memory.recall(["a"], tmp_path).records["a"].totals == {}
    (tmp_path / "state.json").write_text("{")
    assert memory.recall(["a"], tmp_path).records["a"].totals == {}


def test_figures_are_as_dashboards_and_alerts_expect_them() -> None:
    records = {
        "gpu1-a": Record(condition="stuck", totals={"silent": 2}, restarts=[1.0, 2.0], drawn_well=False),
        "gpu1-b": Record(condition="ready"),
    }
    lines = telling.exposition(records, {"gpu1-b"}, OPTIONS, supervisor_up=True, now=1234.5).splitlines()
    for line in (
        'z_image_turbo_health_state{instance="gpu1-a",state="stuck"} 1',
        'z_image_turbo_health_state{instance="gpu1-a",state="ready"} 0',
        'z_image_turbo_health_state{instance="gpu1-b",state="ready"} 1',
        'z_image_turbo_health_restarts_total{instance="gpu1-a",reason="silent"} 2',
        'z_image_turbo_health_restart_budget_left{instance="gpu1-a"} 1',
        'z_image_turbo_health_restart_budget_left{instance="gpu1-b"} 3',
        'z_image_turbo_health_deep_check_success{instance="gpu1-a"} 0',
        'z_image_turbo_health_held{instance="gpu1-b"} 1',
        "z_image_turbo_health_supervisor_up 1",
        "z_image_turbo_health_last_run_timestamp_seconds 1234.500",
    ):
        assert line in lines


def test_the_table_says_what_is_wrong() -> None:
    record = Record(condition="stuck", reason="it does not answer", since=100.0)
    table = telling.table({"gpu1-a": record}, {"gpu1-a"}, OPTIONS, 220.0)
    assert table.splitlines()[1].split("  ")[0] == "gpu1-a"
    assert "stuck (held)" in table
    assert "2 min" in table
    assert table.rstrip().endswith("it does not answer")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval has to be more than 0"),
        ({"surprise": 1}, "there is no option surprise"),
        ({"fall": None}, "TypeError"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    path = tmp_path / "health.json"
    path.write_text(json.dumps({"instances": [], "options": {**vars(OPTIONS), **options}}))
    with pytest.raises(SettingsError, match=message):
        read_settings(path)
