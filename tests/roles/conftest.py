"""What the tests of several roles share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.roles.gpu_host import GpuHost


@pytest.fixture
def gpu_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuHost:
    """Return a host whose nvidia-smi is a stand-in."""
    host = GpuHost(tmp_path)
    monkeypatch.setenv("PATH", host.path)
    monkeypatch.setenv("FAKE_NVIDIA", str(host.file))
    return host
