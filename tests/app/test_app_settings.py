import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.process import APP
from z_image_turbo.settings import Settings, SettingsRefused, read_settings

README = APP.parent / "README.md"


@pytest.fixture
def needed(tiny_model: Path) -> list[str]:
    return ["--model-path", str(tiny_model)]


def test_a_flag_wins_over_the_environment_which_wins_over_the_default(
    needed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIMAGE_PORT", "7870")
    monkeypatch.setenv("ZIMAGE_QUEUE_MAX", "3")
    read = read_settings([*needed, "--port", "7880"])
    assert (read.port, read.queue_max, read.steps) == (7880, 3, 8)


def test_an_instance_is_named_after_its_port_unless_told_otherwise(needed: list[str]) -> None:
    assert read_settings([*needed, "--port", "7862"]).name == "z-image-turbo-7862"
    assert read_settings([*needed, "--name", "gpu1-a"]).name == "gpu1-a"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--prt", "1"], "--prt"),
        (["--por", "1"], "--por"),
        (["extra"], "extra"),
        (["--port", "many"], "port (--port, ZIMAGE_PORT)"),
        (["--port", "70000"], "port (--port, ZIMAGE_PORT)"),
        (["--queue-max", "0"], "queue_max (--queue-max, ZIMAGE_QUEUE_MAX)"),
        (["--device", "tpu"], "device (--device, ZIMAGE_DEVICE)"),
        (["--name", "two words"], "name (--name, ZIMAGE_NAME)"),
        (["--side-default", "1000"], "side_default (--side-default, ZIMAGE_SIDE_DEFAULT)"),
        (["--model-path", "/nowhere"], "model_path (--model-path, ZIMAGE_MODEL_PATH)"),
        (["--side-min", "2048"], "side_default must lie between side_min and side_max"),
        (["--pixels-max", "256"], "pixels_max must allow side_default x side_default"),
        (["--pool-url", "http://a:1,ftp://b"], "pool_url: ftp://b is not an address"),
        (["--pool-url", "http://a/v1"], "pool_url: http://a/v1 is not an address"),
        (["--steps", "9"], "steps must not exceed steps_max"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_in_one_line(
    needed: list[str], arguments: list[str], named: str
) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        read_settings([*needed, *arguments])
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_misspelt_variable_is_refused(needed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIMAGE_QUEUE_MAXIMUM", "3")
    with pytest.raises(SettingsRefused, match="ZIMAGE_QUEUE_MAXIMUM"):
        read_settings(needed)


@pytest.mark.parametrize("arguments", [["--prt", "1"], ["--model-path", "/nowhere"], []])
def test_the_command_ends_with_status_2_and_one_line_on_standard_error(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, str(APP), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert re.fullmatch(r"app\.py: .+\n", ended.stderr)


def test_the_readme_describes_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: (default, text) for name, default, text in rows}
    assert set(documented) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if field.is_required():
            default = "required"
        elif field.default_factory is not None or field.default is None:
            continue  # described in words
        else:
            default = f"`{field.default}`"
        assert documented[name] == (default, field.description)
