"""What is told to Prometheus of the GPUs, through a stand-in of nvidia-smi."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NVIDIA_SMI = ROOT / "molecule" / "cuda" / "files" / "fake_nvidia_smi.py"
FIGURES = {
    "pci.bus_id": "00000000:41:00.0",
    "memory.used": 1024,
    "utilization.gpu": 87,
    "temperature.gpu": 71,
    "power.draw": 312.5,
    "clocks.sm": 1410,
    "clocks_throttle_reasons.active": "0x0000000000000024",
    "ecc.errors.corrected.volatile.total": 2,
}
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory": 81559, "ecc": "1", "figures": FIGURES}
XID = """NVRM: GPU at PCI:0000:41:00: GPU-00000000
NVRM: Xid (PCI:0000:41:00): 79, pid=1234, GPU has fallen off the bus.
NVRM: Xid (PCI:0000:41:00): 79, pid=1234, GPU has fallen off the bus."""


def load() -> Any:
    spec = importlib.util.spec_from_file_location(
        "gpu_figures", ROOT / "roles/exporters/files/gpu_figures.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu_figures = load()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the lines about a host whose nvidia-smi is in this state."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").symlink_to(NVIDIA_SMI)
    (tmp_path / "bin" / "journalctl").write_text(f"#!/bin/sh\ncat <<'END'\n{XID}\nEND\n")
    (tmp_path / "bin" / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_NVIDIA", str(tmp_path / "state.json"))
    monkeypatch.setattr(gpu_figures, "FACT", tmp_path / "gpu.fact")

    def told(**state: Any) -> list[str]:
        (tmp_path / "state.json").write_text(json.dumps(state))
        lines: list[str] = gpu_figures.exposition(gpu_figures.figures(1)).splitlines()
        return lines

    return told


def test_a_gpu_is_told_in_prometheus_units(told: Any) -> None:
    lines = told(gpus=[H100])
    for line in (
        "z_image_turbo_gpu_up 1",
        "z_image_turbo_gpu_expected 1",
        'z_image_turbo_gpu_health{health="ok"} 1',
        'z_image_turbo_gpu_memory_total_bytes{gpu="0"} 85520809984',
        'z_image_turbo_gpu_memory_used_bytes{gpu="0"} 1073741824',
        'z_image_turbo_gpu_utilization_ratio{gpu="0"} 0.87',
        'z_image_turbo_gpu_temperature_celsius{gpu="0"} 71',
        'z_image_turbo_gpu_power_watts{gpu="0"} 312.5',
        'z_image_turbo_gpu_clock_sm_hertz{gpu="0"} 1410000000',
        'z_image_turbo_gpu_ecc_errors{gpu="0",kind="corrected"} 2',
        'z_image_turbo_gpu_ecc_errors{gpu="0",kind="uncorrected"} 1',
    ):
        assert line in lines
    assert any(line.startswith('z_image_turbo_gpu_info{gpu="0",uuid="GPU-') for line in lines)


def test_it_is_told_why_the_clocks_are_held_back(told: Any) -> None:
    throttled = [line for line in told(gpus=[H100]) if "throttled{" in line]
    assert [line[-1] for line in throttled] == ["1", "1", "0"]
    assert ["thermal" in throttled[0], "power_cap" in throttled[1]] == [True, True]


def test_errors_of_the_kernels_log_are_counted_for_their_gpu(told: Any) -> None:
    assert 'z_image_turbo_gpu_xid_errors_total{gpu="0",xid="79"} 2' in told(gpus=[H100])


def test_what_a_gpu_or_this_version_does_not_know_is_left_out(told: Any) -> None:
    lines = told(
        gpus=[{"name": "NVIDIA GeForce RTX 4090", "memory": 24564, "figures": {"pci.bus_id": "0:1:0"}}]
    )
    assert 'z_image_turbo_gpu_memory_total_bytes{gpu="0"} 25757220864' in lines
    assert not any("ecc" in line or "temperature" in line for line in lines)


@pytest.mark.parametrize("mode", ["hang", "lost", "no_driver"])
def test_a_fault_is_told_and_leaves_no_figures_of_before(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(gpu_figures, "TIMEOUT", 2)
    fact = tmp_path / "gpu.fact"
    fact.write_text(f'#!/bin/sh\necho \'{{"health": "{mode}"}}\'\n')
    fact.chmod(0o755)
    lines = told(mode=mode, gpus=[H100])
    assert "z_image_turbo_gpu_up 0" in lines
    word = "hung" if mode == "hang" else mode
    assert [line for line in lines if "health{" in line and line.endswith(" 1")] == [
        f'z_image_turbo_gpu_health{{health="{word}"}} 1'
    ]
    assert not any("memory" in line for line in lines)


def test_every_metric_has_one_kind_and_its_lines_together(told: Any) -> None:
    lines = told(gpus=[H100, H100])
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))
    assert "# TYPE z_image_turbo_gpu_xid_errors_total counter" in lines
