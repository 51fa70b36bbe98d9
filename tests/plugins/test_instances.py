"""The promises of the instance plan."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.instances import instances, inventory_errors, letters


def host(name: str = "gpu1", **variables: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, "address": f"10.0.0.{name[-1]}", **variables}


def test_a_count_gives_the_published_table() -> None:
    planned = instances(3, "gpu1", "10.0.0.1", gpus=2)
    assert [(i["id"], i["program"], i["port"], i["gpu"], i["log"]) for i in planned] == [
        ("gpu1-a", "z-image-turbo-a", 7861, 0, "/var/log/z-image-turbo/a.log"),
        ("gpu1-b", "z-image-turbo-b", 7862, 1, "/var/log/z-image-turbo/b.log"),
        ("gpu1-c", "z-image-turbo-c", 7863, 0, "/var/log/z-image-turbo/c.log"),
    ]
    assert {i["weight"] for i in planned} == {1}


def test_a_list_overrides_what_the_position_gives() -> None:
    declared = [{}, {"name": "big", "port": 9000, "gpu": 3, "weight": 4}]
    first, second = instances(declared, "gpu1", "gpu1.example.org", base_port=8000, gpus=4)
    assert (first["name"], first["port"], first["gpu"]) == ("a", 8000, 0)
    assert (second["name"], second["port"], second["gpu"], second["weight"]) == ("big", 9000, 3, 4)


def test_a_host_without_gpu_assigns_none() -> None:
    assert [i["gpu"] for i in instances(2, "gpu1", "10.0.0.1", gpus=0)] == [None, None]


@pytest.mark.parametrize(
    ("index", "name"), [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")]
)
def test_names_go_on_past_z(index: int, name: str) -> None:
    assert letters(index) == name


BAD_HOSTS = [
    ({"instances": 0}, "instances is 0: it must be 1 to 100"),
    ({"instances": -1}, "instances is -1: it must be 1 to 100"),
    ({"instances": 101}, "instances is 101: it must be 1 to 100"),
    ({"instances": []}, "instances is []: a host runs 1 to 100 instances"),
    ({"instances": "3"}, "instances is '3': give a count or a list"),
    ({"instances": True}, "instances is True: give a count or a list"),
    ({"instances": None}, "instances is None: give a count or a list"),
    ({"instances": ["a"]}, "instances[0] is 'a': an instance is a mapping"),
    ({"instances": [{"prot": 7861}]}, "unknown key 'prot'"),
    ({"instances": [{"port": 7862}, {}]}, "instances is [7862, 7862]: port 7862 is there 2 times"),
    ({"instances": [{"name": "b"}, {}]}, "instances is ['b', 'b']: name b is there 2 times"),
    ({"instances": [{"port": 80}]}, "instances[0].port is 80: it must be 1024 to 65535"),
    ({"instances": [{"port": "7861"}]}, "instances[0].port is '7861': a whole number is needed"),
    ({"instances": [{"name": "A b"}]}, "instances[0].name is 'A b': use small letters"),
    ({"instances": [{"name": "a\nuser=root"}]}, "instances[0].name is 'a\\nuser=root': use small letters"),
    ({"instances": [{"gpu": 2}], "gpus": 2}, "instances[0].gpu is 2: it must be 0 to 1"),
    ({"instances": [{"gpu": 0}], "gpus": 0}, "instances[0].gpu is 0: the host has no GPU"),
    ({"instances": [{"weight": 0}]}, "instances[0].weight is 0: it must be 1 to 100"),
    ({"instance_base_port": 65535, "instances": 2}, "instances[1].port is 65536: it must be 1024 to 65535"),
    ({"instance_base_port": "x"}, "instance_base_port is 'x': a whole number is needed"),
    ({"gpus": -1}, "gpus is -1: it must be 0 to 64"),
    ({"address": None}, "address is None: gateways need an IP address or a host name"),
    ({"address": "10.0.0.1; return 200"}, "address is '10.0.0.1; return 200'"),
]


@pytest.mark.parametrize(("variables", "message"), BAD_HOSTS, ids=lambda value: str(value)[:40])
def test_a_wrong_host_is_named_with_variable_and_value(variables: dict[str, Any], message: str) -> None:
    (error,) = inventory_errors([host("gpu7", **variables)], [host("gw1")])
    assert error.startswith("gpu7: ")
    assert message in error


def test_a_wrong_host_also_stops_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="gpu1: instances is 0"):
        instances(0, "gpu1", "10.0.0.1")


def test_every_fault_is_reported_in_one_go() -> None:
    errors = inventory_errors([host("gpu1", instances=0), host("gpu2", instances=[{"gpu": 9}])], [])
    assert len(errors) == 3


def test_an_inventory_needs_a_gpu_host_and_a_gateway() -> None:
    assert inventory_errors([], []) == [
        "The inventory has no GPU host: the group 'gpu' is empty or missing.",
        "The inventory has no gateway: the group 'gateways' is empty or missing.",
    ]


def test_two_hosts_cannot_share_an_address_and_port() -> None:
    (error,) = inventory_errors(
        [host("gpu1", address="10.0.0.9"), host("gpu2", address="10.0.0.9")], [host("gw1")]
    )
    assert "port 7861" in error
    assert "gpu1-a" in error
    assert "gpu2-a" in error


def test_a_gateway_needs_an_address() -> None:
    assert inventory_errors([host("gpu1")], [{"inventory_hostname": "gw1"}]) == [
        "gw1: address is missing: a gateway needs an IP address or a host name"
    ]


@pytest.mark.parametrize(
    ("address", "endpoint"), [("10.0.0.1", "10.0.0.1:7861"), ("2001:db8::1", "[2001:db8::1]:7861")]
)
def test_an_instance_has_an_endpoint_for_urls(address: str, endpoint: str) -> None:
    assert instances(1, "gpu1", address)[0]["endpoint"] == endpoint


def test_a_right_inventory_has_no_errors() -> None:
    assert inventory_errors([host("gpu1", instances=3), host("gpu2")], [host("gw1")]) == []
