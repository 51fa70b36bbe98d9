"""A variable that begins as a role's do and is none is refused, with the name that was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.filter.role_variables import options_of, variable_errors

ROOT = Path(__file__).parents[2]
ROLES = str(ROOT / "roles")
RENAMED: dict[str, str] = yaml.safe_load((ROOT / "roles/inventory_check/vars/main.yml").read_text())[
    "__inventory_check_renamed"
]


def errors(*names: str, hosts: tuple[str, ...] = ("gpu1",), **options: Any) -> list[str]:
    variables = [{"inventory_hostname": host, **dict.fromkeys(names)} for host in hosts]
    return variable_errors(variables, ROLES, RENAMED, **options)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("z_image_turbo_setings", "z_image_turbo_settings"),
        ("gateway_generation_rates", "gateway_generation_rate"),
        ("model_store_neighbors", "model_store_neighbours"),
        ("cuda_driver_brunch", "cuda_driver_branch"),
        ("certificates_mail", "certificates_email"),
    ],
)
def test_a_typo_is_refused_with_the_name_that_was_meant(name: str, meant: str) -> None:
    (said,) = errors(name)
    assert said.startswith(f"gpu1: {name} is no variable of the role")
    assert f"did you mean {meant}?" in said


def test_one_that_is_like_no_other_is_refused_with_the_place_to_look() -> None:
    (said,) = errors("gateway_xyz")
    assert "roles/gateway/README.md" in said


def test_a_renamed_one_is_refused_with_its_new_name() -> None:
    assert errors("z_image_turbo_files_age") == [
        "gpu1: z_image_turbo_files_age is called z_image_turbo_files_age_hours now: rename it"
    ]


def test_every_new_name_is_an_option_and_no_old_one_is() -> None:
    known = options_of(Path(ROLES))
    assert [new for new in RENAMED.values() if new not in known] == []
    assert [old for old in RENAMED if old in known] == []


def test_what_begins_otherwise_is_nobodys_business_and_ones_own_may_be_listed() -> None:
    assert errors("address", "gpus", "model_source", "my_gateway_port", "z_image_turbo_settings") == []
    assert errors("gateway_of_mine", own=["gateway_of_mine"]) == []


def test_a_fault_of_a_whole_fleet_is_one_sentence() -> None:
    (said,) = errors("gateway_xyz", hosts=tuple(f"gpu{number}" for number in range(50)))
    assert said.startswith("gpu0, gpu1, gpu2 and 47 more: gateway_xyz")
