"""The argument specification of a role is its contract: it must say what the defaults say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted((Path(__file__).parents[2] / "roles").iterdir())


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def options(role: Path) -> dict[str, dict[str, Any]]:
    specification = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    return dict(specification)


def test_every_default_is_specified_with_its_value(role: Path) -> None:
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert specified == (load(role / "defaults" / "main.yml") or {})


def test_an_option_without_default_is_required(role: Path) -> None:
    assert [
        name
        for name, option in options(role).items()
        if ("default" in option) == option.get("required", False)
    ] == []


def test_every_option_begins_with_the_name_of_the_role_and_is_explained(role: Path) -> None:
    for name, option in options(role).items():
        assert name.startswith(f"{role.name}_")
        assert option["description"]


def test_every_option_is_in_the_readme(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert [name for name in options(role) if f"`{name}`" not in readme] == []


def test_no_role_knows_an_inventory_group(role: Path) -> None:
    files = [
        path for path in role.rglob("*") if path.suffix in {".yml", ".j2"} and "defaults" not in path.parts
    ]
    assert [str(path) for path in files if "groups[" in path.read_text()] == []
