"""What the role pytorch knows of builds is what the application's packages and lock files say."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VARIANTS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "roles/pytorch/defaults/main.yml").read_text())[
    "pytorch_variants"
]
FLOORS = yaml.safe_load((ROOT / "roles/pytorch/vars/main.yml").read_text())["__pytorch_floors"]


def locked(variant: str) -> dict[str, str]:
    """Return the packages of a lock file with their versions."""
    text = (ROOT / "app" / f"requirements-{variant}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_the_lock_file_of_a_variant_has_its_pytorch_and_the_installer(variant: str) -> None:
    assert locked(variant)["torch"].split("+")[0] == str(VARIANTS[variant]["torch"])
    assert "uv" in locked(variant)


def test_the_build_on_pypi_is_for_the_level_of_cuda_that_the_variant_says() -> None:
    assert locked("cuda")["cuda-toolkit"].startswith(VARIANTS["cuda"]["cuda"] + ".")


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_the_oldest_pytorch_is_what_the_packages_ask_for(package: str) -> None:
    (asked,) = {
        found[1]
        for line in importlib.metadata.requires(package) or []
        if (found := re.match(r"torch>=([\d.]+)", line))
    }
    assert asked == FLOORS[0]["torch"]
    assert package in FLOORS[0]["why"]
