"""The doors of the service, who knocks there, and the table of what came of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from plugins.action.wait_until_idle import work
from plugins.filter.smoke import smoke_authorization, smoke_gateway_door, smoke_instance_doors, smoke_table


def test_the_table_has_a_row_for_each_door() -> None:
    assert smoke_table(
        [
            {"item": {"name": "gpu1-a"}, "error": "", "seconds": 1.234, "instance": ""},
            {"item": {"name": "gateway1"}, "error": "", "seconds": 2, "instance": "gpu2-a"},
            {"item": {"name": "gpu2-a"}, "error": "/readyz: refused", "seconds": 0, "instance": ""},
        ]
    ) == [
        "DOOR      PICTURE                  SECONDS  DRAWN BY",
        "gpu1-a    right                    1.23     gpu1-a",
        "gateway1  right                    2.00     gpu2-a",
        "gpu2-a    none (/readyz: refused)  -        -",
    ]


@pytest.mark.parametrize(
    ("users", "header"),
    [
        ([], ""),
        ([{"name": "a", "api_keys": ["sha256:00", "a key"]}], "Bearer a key"),
        ([{"name": "a", "password_hash": "$6$"}, {"name": "b", "password": "secret"}], "Basic YjpzZWNyZXQ="),
    ],
)
def test_a_gateway_is_asked_as_one_of_its_users(users: list[dict[str, Any]], header: str) -> None:
    assert smoke_authorization(users) == header


def test_users_of_whom_the_hashes_alone_are_known_cannot_be_tried() -> None:
    with pytest.raises(AnsibleFilterError, match="smoke_key"):
        smoke_authorization([{"name": "a", "api_keys": ["sha256:00"]}])


@pytest.mark.parametrize(
    ("variables", "url", "host"),
    [
        ({}, "http://192.0.2.1:80", ""),
        ({"gateway_port": 8080, "gateway_server_name": "_"}, "http://192.0.2.1:8080", ""),
        ({"gateway_tls": True}, "https://192.0.2.1:443", ""),
        (
            {"gateway_tls": True, "gateway_tls_port": 8443, "gateway_server_name": "pictures.example gw"},
            "https://192.0.2.1:8443",
            "pictures.example",
        ),
        ({"address": "2001:db8::1"}, "http://[2001:db8::1]:80", ""),
    ],
)
def test_the_door_of_a_gateway_is_where_users_come_in(variables: dict[str, Any], url: str, host: str) -> None:
    door = smoke_gateway_door({"inventory_hostname": "gateway1", "address": "192.0.2.1", **variables})
    assert door == {"name": "gateway1", "url": url, "host": host, "authorize": True}


def test_every_instance_is_a_door() -> None:
    assert smoke_instance_doors([{"id": "gpu1-a", "endpoint": "192.0.2.2:7861"}]) == [
        {"name": "gpu1-a", "url": "http://192.0.2.2:7861"}
    ]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ("# HELP zimage_jobs_running x\nzimage_jobs_running 1.0\nzimage_queue_depth 3.0\n", (1, 3)),
        ("zimage_queue_depth_max 7.0\nother 2\n", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_work_that_is_left_is_in_the_figures(figures: str, expected: tuple[int, int]) -> None:
    assert work(figures) == expected
