"""The sample inventories are right, and plan what their comments say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def told(inventory: str, variable: str, group: str = "gpu", also: Path | None = None) -> dict[str, Any]:
    """Return what an inventory, with another one beside it, makes of a variable for each host of a group."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible"),
            *(group, "-i", inventory, *(("-i", str(also)) if also else ())),
            *("-c", "local", "-m", "ansible.builtin.debug"),
            *("-a", f"msg={{{{ {variable} | to_json }}}}"),
        ],
        cwd=ROOT,
        env={
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "PATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [block.split(" | SUCCESS => ") for block in done.stdout.split("\n}\n") if block.strip()]
    return {host: json.loads(json.loads(body + "}")["msg"]) for host, body in answers}


@pytest.fixture(scope="module")
def plans() -> dict[str, list[dict[str, Any]]]:
    """The plan of each GPU host of the inventory of common machines."""
    return told("inventories/mixed", "z_image_turbo_instances")


@pytest.mark.parametrize(
    ("inventory", "gateway"), [("inventories/prod", "192.0.2.10"), ("inventories/demo", "10.89.77.10")]
)
def test_pages_have_their_pictures_drawn_by_all_instances(inventory: str, gateway: str) -> None:
    settings = told(inventory, "z_image_turbo_settings")
    assert settings
    assert {one["pool_url"] for one in settings.values()} == {f"http://{gateway}:7860"}


@pytest.mark.parametrize("inventory", ["prod", "inventories/demo", "inventories/mixed"])
def test_a_sample_inventory_is_right(inventory: str) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "playbooks/check_inventory.yml",
            "-i",
            inventory,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("host", "gpus", "presets", "weights"),
    [
        ("desktop16", [0], {"offload"}, {3}),
        ("desktop24", [0], {"bf16"}, {11}),
        ("server80", [0], {"bf16"}, {65}),
        ("server80mig", [0, 1], {"bf16"}, {28}),
        ("server8x80", list(range(8)), {"bf16"}, {65}),
        ("shared48", [0, 0, 1, 1], {"bf16", "fp8"}, {5, 7}),
    ],
)
def test_each_common_machine_is_planned(
    plans: dict[str, list[dict[str, Any]]], host: str, gpus: list[int], presets: set[str], weights: set[int]
) -> None:
    assert [instance["gpu"] for instance in plans[host]] == gpus
    assert {instance["preset"] for instance in plans[host]} == presets
    assert {instance["weight"] for instance in plans[host]} == weights


@pytest.fixture
def watcher(tmp_path: Path) -> Path:
    """A monitoring host, beside the sample."""
    inventory = tmp_path / "watcher.yml"
    inventory.write_text("all: {children: {monitoring: {hosts: {mon1: {address: 192.0.2.20}}}}}\n")
    return inventory


def test_without_a_monitoring_host_the_sample_has_no_exporters_and_closes_no_port_for_them() -> None:
    assert set(told("prod", "exporters_state", "all").values()) == {"absent"}
    for rules in told("prod", "firewall_rules", "all").values():
        assert "Exporters" not in [rule["name"] for rule in rules]


def test_a_monitoring_host_of_the_sample_is_let_in_by_every_host_and_by_none_else(watcher: Path) -> None:
    every_host = told("prod", "firewall_rules", "all", watcher)
    assert len(every_host) == 4
    for host, rules in every_host.items():
        by_name = {rule["name"]: rule for rule in rules}
        assert by_name["Exporters"]["from"] == ["192.0.2.20"]
        if host.startswith("gpu"):
            assert by_name["Instances"]["from"] == ["192.0.2.10", "192.0.2.20"]
    (targets,) = told("prod", "monitoring_targets", "monitoring", watcher).values()
    assert len(targets["z_image_turbo"]) == 4
    assert len(targets["node"]) == 4
