"""A host with GPUs, by a stand-in of nvidia-smi, and the programs of the role cuda as modules."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NVIDIA_SMI = ROOT / "molecule" / "cuda" / "files" / "fake_nvidia_smi.py"


def load(name: str) -> Any:
    """Return a program of the role as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "roles/cuda/files" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu_fact = load("gpu_fact")


class GpuHost:
    """A host whose files, as far as the fact reads them, are below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = f"{root / 'bin'}:/usr/bin:/bin"
        self.file = root / "state.json"
        (root / "bin").mkdir()
        (root / "bin" / "nvidia-smi").symlink_to(NVIDIA_SMI)

    def becomes(self, **state: Any) -> None:
        """Change what nvidia-smi answers by."""
        self.file.write_text(json.dumps(state))

    def fact(self) -> dict[str, Any]:
        """Return the local fact."""
        fact: dict[str, Any] = gpu_fact.facts(self.root)
        return fact
