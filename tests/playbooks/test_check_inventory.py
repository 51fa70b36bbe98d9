"""A wrong inventory is refused on the control node, before any host is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "inventories" / "demo"


def play(playbook: str, inventory: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook from the root of the repository."""
    command: list[str | Path] = [
        Path(sys.executable).with_name("ansible-playbook"),
        playbook,
        "-i",
        inventory,
    ]
    command.append(f"--extra-vars={json.dumps(variables)}")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return what the run said, which must have failed without touching a host."""
    assert done.returncode != 0
    assert "Gathering Facts" not in done.stdout
    assert "nothing was touched" in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        (0, "gpu1: instances is 0"),
        ([{"port": 7861}, {"port": 7861}], "port 7861 is there 2 times"),
        ([{"prot": 1}], "unknown key"),
    ],
    ids=["a count of 0", "a port twice", "an unknown key"],
)
def test_wrong_instances_are_refused_with_host_variable_and_value(instances: Any, message: str) -> None:
    assert message in refusal(play("site.yml", DEMO, instances=instances))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"gateways": {"hosts": {"gw1": {"address": "192.0.2.1"}}}}, "no GPU host"),
        ({"gpu": {"hosts": {"gpu1": {"address": "192.0.2.1"}}}}, "no gateway"),
        ({}, "no GPU host"),
    ],
    ids=["no GPU host", "no gateway", "no host at all"],
)
def test_a_missing_group_is_refused(tmp_path: Path, groups: dict[str, Any], message: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"children": groups}}))
    assert message in refusal(play("site.yml", inventory))


def test_a_variable_that_no_role_knows_is_refused_with_the_one_that_was_meant() -> None:
    said = refusal(play("site.yml", DEMO, z_image_turbo_setings={}))
    assert "z_image_turbo_setings is no variable" in said
    assert "did you mean z_image_turbo_settings?" in said


def test_a_variable_that_was_renamed_is_refused_with_its_new_name() -> None:
    said = refusal(play("site.yml", DEMO, z_image_turbo_files_age=3))
    assert "z_image_turbo_files_age is called z_image_turbo_files_age_hours now" in said
