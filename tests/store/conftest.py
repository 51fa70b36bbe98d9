"""A hub of the lab in this process, and a store in a temporary folder."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_store.fetch import Order
from tests.store.lab_hub import COMMIT, NANO, NEXT, ROOT, LabHub


@pytest.fixture(scope="session")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commits")
    for commit in (COMMIT, NEXT):
        shutil.copytree(NANO, folder / commit)
    (folder / COMMIT / ".gitattributes").write_text("not for the store\n")
    (folder / NEXT / "README.md").write_text("another text\n")
    return folder


@pytest.fixture
def hub(commits: Path) -> Iterator[LabHub]:
    path = ROOT / "molecule" / "model_store" / "files" / "model_hub.py"
    specification = importlib.util.spec_from_file_location("model_hub", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    lab = LabHub(module, commits)
    yield lab
    lab.server.shutdown()
    lab.server.server_close()


@pytest.fixture
def order(tmp_path: Path, hub: LabHub) -> Callable[..., Order]:
    """Make an order, of the nano model from Hugging Face unless told otherwise."""

    def make(source: str = f"hf://lab/nano@{COMMIT}", **more: Any) -> Order:
        values: dict[str, Any] = {"root": str(tmp_path / "store"), "patience": 1.5, "exclude": [".*"]}
        values |= {"endpoint": hub.url if "://" in source and "http" not in source else ""}
        return Order(host="gpu1", name="nano", source=source, **(values | more))

    return make
