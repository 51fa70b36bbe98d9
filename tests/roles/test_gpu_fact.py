"""The local fact `gpu` tells what a host has, and names every fault, through a stand-in of nvidia-smi."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.roles.gpu_host import GpuHost, gpu_fact


@pytest.fixture
def look(gpu_host: GpuHost) -> Any:
    """Return the fact of a host whose nvidia-smi is in this state."""

    def look(**state: Any) -> dict[str, Any]:
        gpu_host.becomes(**state)
        return gpu_host.fact()

    return look


CARDS = [
    ("NVIDIA GeForce RTX 4080", 16376, 1),
    ("NVIDIA GeForce RTX 4090", 24564, 2),
    ("NVIDIA L40S", 46068, 1),
    ("NVIDIA H100 80GB HBM3", 81559, 8),
    ("NVIDIA H200", 143771, 1),
]


@pytest.mark.parametrize(("name", "memory", "count"), CARDS)
def test_every_gpu_is_told_with_model_memory_driver_and_cuda(
    look: Any, name: str, memory: int, count: int
) -> None:
    fact = look(gpus=[{"name": name, "memory": memory}] * count)
    assert (fact["health"], fact["count"], fact["driver"], fact["cuda"]) == ("ok", count, "580.95.05", "13.0")
    assert {(device["model"], device["memory"]) for device in fact["devices"]} == {(name, memory)}
    assert len({device["uuid"] for device in fact["devices"]}) == count


@pytest.mark.parametrize(
    ("mode", "health", "message"),
    [
        ("no_driver", "no_driver", "the kernel module is not loaded"),
        ("mismatch", "mismatch", "reboot the host (nvidia-smi: Failed to initialize NVML: Driver/library"),
        ("lost", "lost", "GPU0000:41:00.0: GPU is lost"),
        ("no_devices", "no_gpu", "the driver sees no GPU"),
    ],
)
def test_a_fault_is_named_with_what_to_do(look: Any, mode: str, health: str, message: str) -> None:
    fact = look(mode=mode)
    assert (fact["health"], fact["count"]) == (health, 0)
    assert message in fact["message"]


def test_a_driver_that_hangs_is_told_in_time(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_fact, "TIMEOUT", 1)
    started = time.monotonic()
    assert look(mode="hang")["health"] == "hung"
    assert time.monotonic() - started < 10


def test_a_host_without_driver_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fact = gpu_fact.facts(tmp_path)
    assert (fact["health"], fact["count"]) == ("no_driver", 0)
    assert "no NVIDIA driver is installed" in fact["message"]


def test_memory_errors_make_a_gpu_ill(look: Any) -> None:
    fact = look(
        gpus=[{"name": "NVIDIA A100", "memory": 81920, "ecc": 0}, {"name": "x", "memory": 1, "ecc": 3}]
    )
    assert (fact["health"], fact["message"]) == ("ill", "GPU 1: 3 uncorrected memory errors")


def test_the_parts_of_a_divided_gpu_are_what_can_be_used(look: Any) -> None:
    card = {"name": "NVIDIA H100 80GB HBM3", "memory": 81559}
    fact = look(gpus=[{**card, "mig": ["3g.40gb", "3g.40gb"]}, card])
    assert [(device["model"], device["memory"]) for device in fact["devices"]] == [
        ("MIG 3g.40gb", 40448),  # 39.5 GiB, as the driver lists it, and not the 40 of the name
        ("MIG 3g.40gb", 40448),
        ("NVIDIA H100 80GB HBM3", 81559),
    ]
    assert fact["devices"][0]["uuid"].startswith("MIG-")


def test_what_the_kernel_has_is_told(look: Any, tmp_path: Path) -> None:
    (tmp_path / "sys/module/nouveau").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.172.08  Release Build\n"
    )
    secure_boot = tmp_path / gpu_fact.EFI_SECURE_BOOT
    secure_boot.parent.mkdir(parents=True)
    secure_boot.write_bytes(b"\x06\x00\x00\x00\x01")
    for address, vendor, kind in (
        ("1", "0x10de", "0x030000"),
        ("2", "0x10de", "0x040300"),
        ("3", "0x8086", "0x030000"),
    ):
        device = tmp_path / "sys/bus/pci/devices" / address
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor)
        (device / "class").write_text(kind)
    fact = look(gpus=[])
    assert (fact["nouveau"], fact["secure_boot"], fact["loaded"], fact["on_bus"]) == (
        True,
        True,
        "570.172.08",
        1,
    )
