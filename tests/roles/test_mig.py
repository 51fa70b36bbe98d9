"""GPUs are divided by MIG as declared: only when idle, and only into what fits. nvidia-smi is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.roles.gpu_host import GpuHost, load

mig = load("mig")
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory": 81559}
HALVES = ["3g.40gb", "3g.40gb"]


class Divided:
    """A host, and what the program says about a declaration."""

    def __init__(self, host: GpuHost, capsys: pytest.CaptureFixture[str]) -> None:
        self.host, self._capsys = host, capsys

    def run(self, command: str, declared: dict[str, list[str]]) -> dict[str, Any]:
        mig.main(command, json.dumps(declared), json.dumps(self.host.fact()))
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return answer

    @property
    def parts(self) -> list[str]:
        return [device["model"] for device in self.host.fact()["devices"]]


@pytest.fixture
def host(gpu_host: GpuHost, capsys: pytest.CaptureFixture[str]) -> Divided:
    return Divided(gpu_host, capsys)


def test_a_gpu_is_divided_as_declared_and_the_other_one_stays_as_it_is(host: Divided) -> None:
    host.host.becomes(gpus=[H100, H100])
    planned = host.run("plan", {"0": HALVES})
    assert planned["changes"] == [
        "GPU 0 (NVIDIA H100 80GB HBM3) is divided into one piece, and 3g.40gb, 3g.40gb is declared"
    ]
    assert planned["count"] == 3
    assert host.parts == ["NVIDIA H100 80GB HBM3"] * 2

    assert host.run("apply", {"0": HALVES})["refused"] == ""
    assert host.parts == ["MIG 3g.40gb", "MIG 3g.40gb", "NVIDIA H100 80GB HBM3"]
    assert host.run("apply", {"0": HALVES})["changes"] == []


def test_all_gpus_are_divided_alike_but_the_one_that_is_named(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "uuid": f"GPU-{letter}"} for letter in "abc"])
    declared = {"all": ["1g.20gb"] * 4, "GPU-b": []}
    assert host.run("apply", declared)["count"] == 9
    assert host.parts == ["MIG 1g.20gb"] * 4 + ["NVIDIA H100 80GB HBM3"] + ["MIG 1g.20gb"] * 4


def test_a_divided_gpu_becomes_one_piece_again(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "mig": HALVES}])
    assert host.run("apply", {"all": []})["count"] == 1
    assert host.parts == ["NVIDIA H100 80GB HBM3"]


@pytest.mark.parametrize(
    "parts",
    [
        ["1g.10gb"] * 7,
        ["1g.10gb", "2g.20gb", "3g.40gb"],
        ["1g.20gb", "4g.40gb", "2g.20gb"],
        ["7g.80gb"],
        ["1g.10gb", "1g.10gb+me"],
    ],
    ids=" ".join,
)
def test_every_division_that_fits_is_made_in_whatever_order_it_is_declared(
    host: Divided, parts: list[str]
) -> None:
    host.host.becomes(gpus=[H100])
    assert host.run("apply", {"0": parts})["refused"] == ""
    assert sorted(host.parts) == sorted(f"MIG {part}" for part in parts)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (["3g.20gb"], "has no profile 3g.20gb. It offers at most 7 x 1g.10gb (9.75 GiB), 1 x 1g.10gb+me"),
        (["3g.40gb", "3g.40gb", "1g.10gb"], "3g.40gb, 3g.40gb, 1g.10gb do not fit on it together"),
        (["1g.10gb+me"] * 2, "do not fit on it together. It offers at most 7 x 1g.10gb"),
    ],
    ids=["unknown", "too much", "once only"],
)
@pytest.mark.parametrize("now", [None, HALVES], ids=["in one piece", "divided"])
def test_what_is_impossible_is_refused_with_what_the_card_offers_and_changes_nothing(
    host: Divided, now: list[str] | None, parts: list[str], reason: str
) -> None:
    host.host.becomes(gpus=[{**H100, "mig": now}])
    before = host.parts
    assert reason in host.run("apply", {"0": parts})["refused"]
    assert host.parts == before


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"2": []}, "GPU 2 is not there; the host has 0 (NVIDIA H100 80GB HBM3, GPU-"),
        ({"1": HALVES}, "GPU 1 (NVIDIA L40S) cannot be divided: it does not know MIG"),
    ],
)
def test_a_gpu_that_is_not_there_or_does_not_know_mig_is_named(
    host: Divided, declared: dict[str, list[str]], reason: str
) -> None:
    host.host.becomes(gpus=[H100, {"name": "NVIDIA L40S", "memory": 46068}])
    assert reason in host.run("plan", declared)["refused"]


def test_a_gpu_in_use_is_not_divided_and_what_uses_it_is_named(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "apps": ["4711, /opt/z-image-turbo/python"]}])
    refused = host.run("apply", {"0": HALVES})["refused"]
    assert "is in use by 4711, /opt/z-image-turbo/python: stop what uses it first" in refused
    assert host.parts == ["NVIDIA H100 80GB HBM3"]


def test_a_gpu_in_use_that_is_as_declared_is_nobodys_business(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "mig": HALVES, "apps": ["4711, python"]}])
    assert host.run("apply", {"0": HALVES})["refused"] == ""


def test_a_mode_that_waits_for_a_reboot_is_told(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "waits": True}])
    answer = host.run("apply", {"0": HALVES})
    assert "MIG mode is in pending enable state" in answer["pending"]
    assert "In use by another client" in answer["pending"]


def test_the_persistence_daemon_which_holds_a_gpu_open_is_away_for_the_change(
    host: Divided, tmp_path: Path
) -> None:
    systemctl, running = tmp_path / "bin" / "systemctl", tmp_path / "running"
    systemctl.write_text(
        f"#!/bin/sh\nis={running}\n"
        "case $1 in is-active) exec test -e $is;; start) touch $is;; *) rm $is;; esac\n"
    )
    systemctl.chmod(0o755)
    running.touch()
    host.host.becomes(gpus=[{**H100, "waits": "nvidia-persistenced"}])
    assert host.run("apply", {"0": HALVES})["pending"] == ""
    assert host.parts == ["MIG 3g.40gb", "MIG 3g.40gb"]
    assert running.exists()


def test_a_division_that_the_driver_does_not_make_leaves_the_one_before(host: Divided) -> None:
    host.host.becomes(gpus=[{**H100, "mig": HALVES}], refuses="2g.20gb")
    refused = host.run("apply", {"0": ["2g.20gb"]})["refused"]
    assert "is divided as before, for nvidia-smi says: Failed to create GPU instances" in refused
    assert host.parts == ["MIG 3g.40gb", "MIG 3g.40gb"]


def test_a_host_whose_driver_does_not_answer_is_left_alone(host: Divided) -> None:
    host.host.becomes(mode="lost")
    assert "GPU is lost" in host.run("apply", {"0": HALVES})["refused"]
