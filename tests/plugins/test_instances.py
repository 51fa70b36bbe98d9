"""The promises of the instance plan."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.instances import gpu_errors, instance_plan, inventory_errors
from plugins.plugin_utils.plan import letters


def host(name: str = "gpu1", **variables: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, "address": f"10.0.0.{name[-1]}", **variables}


def planned(**variables: Any) -> list[dict[str, Any]]:
    return instance_plan(host(**variables))


def test_a_count_gives_the_published_table() -> None:
    three = planned(instances=3, gpus=2)
    assert [(i["id"], i["program"], i["port"], i["gpu"], i["log"]) for i in three] == [
        ("gpu1-a", "z-image-turbo-a", 7861, 0, "/var/log/z-image-turbo/a.log"),
        ("gpu1-b", "z-image-turbo-b", 7862, 1, "/var/log/z-image-turbo/b.log"),
        ("gpu1-c", "z-image-turbo-c", 7863, 0, "/var/log/z-image-turbo/c.log"),
    ]
    assert {i["weight"] for i in three} == {1}


def test_a_list_overrides_what_the_position_gives() -> None:
    declared = [{}, {"name": "big", "port": 9000, "gpu": 3, "weight": 4}]
    first, second = planned(instances=declared, instance_base_port=8000, gpus=4)
    assert (first["name"], first["port"], first["gpu"]) == ("a", 8000, 0)
    assert (second["name"], second["port"], second["gpu"], second["weight"]) == ("big", 9000, 3, 4)


def test_a_host_without_gpu_assigns_none() -> None:
    assert [i["gpu"] for i in planned(instances=2, gpus=0)] == [None, None]


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
    ({"preset": "fp4"}, "preset is 'fp4': known are bf16, fp8, int8, offload"),
    ({"instances": [{"preset": 8}]}, "instances[0].preset is 8: known are bf16"),
    ({"preset": "fp8", "gpus": 0}, "instances[0].preset is 'fp8': it needs a GPU (gpus is 0)"),
    ({"instances": [{"settings": ["queue_max"]}]}, "instances[0].settings is ['queue_max']: a mapping"),
    ({"instances": [{"settings": {'a="x"': 1}}]}, "is no setting's name"),
    ({"gpu_model": "H1000"}, "gpu_model is 'H1000': known are RTX 4060 Ti,"),
    ({"gpu_model": ["H100"], "gpus": 2}, "give one value, or one for each GPU (gpus is 2)"),
    ({"gpu_memory": "24 GB"}, "gpu_memory is '24 GB': a number of GB above 0 is needed"),
    ({"preset_memory": {"fp8": 0}}, "preset_memory.fp8 is 0: a number of GB above 0 is needed"),
    ({"preset_memory": {"fp4": 8}}, "preset_memory is 'fp4': known are bf16"),
    ({"calibration": {"gpu7-a": "fast"}}, "calibration.gpu7-a is 'fast': a number of seconds above 0"),
    (
        {"gpu_memory": 24, "instances": 2},
        "GPU 0 has 24.0 GB and its instances need 23.6 (a, bf16) + 23.6 (b, bf16) = 47.2 GB; it holds 1 by",
    ),
    (
        {"gpu_model": "RTX 4080"},
        "GPU 0 has 16.0 GB and its instances need 23.6 (a, bf16) = 23.6 GB; it holds 1 by",
    ),
    ({"gpu_memory": 8}, "it holds none by any preset"),
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
        planned(instances=0)


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
    assert planned(address=address)[0]["endpoint"] == endpoint


def test_a_right_inventory_has_no_errors() -> None:
    assert inventory_errors([host("gpu1", instances=3), host("gpu2")], [host("gw1")]) == []


def test_a_preset_gives_memory_and_settings_and_an_instance_can_have_its_own() -> None:
    declared = [{}, {"preset": "fp8", "settings": {"queue_max": 4}}, {"settings": {"offload": False}}]
    by_host, own, overridden = planned(instances=declared, gpus=3, preset="offload")
    assert (by_host["memory"], by_host["settings"]) == (14.0, {"offload": True})
    assert (own["memory"], own["settings"]) == (17.6, {"quantize": "fp8", "queue_max": 4})
    assert overridden["settings"] == {"offload": False}


@pytest.mark.parametrize(
    ("gpu_memory", "preset", "holds"),
    [
        (16, "offload", 1),
        (24, "bf16", 1),
        (24, "fp8", 1),
        (48, "bf16", 2),
        (80, "bf16", 3),
        (80, "fp8", 4),
        (141, "bf16", 5),
    ],
)
def test_a_gpu_holds_as_many_instances_as_its_memory_allows(gpu_memory: int, preset: str, holds: int) -> None:
    assert len(planned(instances=holds, gpu_memory=gpu_memory, preset=preset)) == holds
    with pytest.raises(AnsibleFilterError, match=f"it holds .*{holds} by {preset}"):
        planned(instances=holds + 1, gpu_memory=gpu_memory, preset=preset)


def test_a_measured_need_of_memory_counts_for_more_than_the_table() -> None:
    assert len(planned(instances=2, gpu_memory=40, preset_memory={"bf16": 20.0})) == 2


def test_each_gpu_is_counted_by_itself() -> None:
    with pytest.raises(AnsibleFilterError, match=r"GPU 1 has 16\.0 GB"):
        planned(instances=4, gpus=2, gpu_memory=[80, 16])


def test_the_weight_is_pictures_a_minute_shared_by_the_instances_of_a_gpu() -> None:
    (alone,) = planned(gpu_model="NVIDIA H100 80GB HBM3")
    first, second = planned(instances=2, gpu_model="H100")
    (slow,) = planned(gpu_model="RTX 4080", preset="offload")
    assert first["weight"] == second["weight"]
    assert alone["weight"] == pytest.approx(2 * first["weight"], abs=1)
    assert slow["weight"] < alone["weight"] / 10


@pytest.mark.parametrize(
    ("part", "preset", "weight"), [("H100 3g.40gb", "bf16", 28), ("NVIDIA H100 1g.20gb", "fp8", 12)]
)
def test_a_part_by_mig_weighs_its_share_of_the_gpu(part: str, preset: str, weight: int) -> None:
    parts = planned(gpus=2, instances=2, gpu_model=part, preset=preset)
    assert [instance["weight"] for instance in parts] == [weight, weight]


def test_a_part_by_mig_has_the_memory_of_its_profile() -> None:
    with pytest.raises(AnsibleFilterError, match=r"GPU 0 has 12.0 GB and its instances need 14.0"):
        planned(gpu_model="A30 2g.12gb", preset="offload")


def test_a_measured_time_counts_for_more_than_the_table_and_a_told_weight_for_most() -> None:
    calibration = {"gpu1-a": 1.0, "gpu1-b": 1.0}
    measured, told = planned(
        instances=[{}, {"weight": 7}], gpus=2, gpu_model="RTX 4090", calibration=calibration
    )
    assert (measured["weight"], told["weight"]) == (60, 7)


def test_a_weight_that_is_a_guess_is_refused_beside_those_in_pictures_a_minute() -> None:
    (error,) = inventory_errors([host("gpu1", gpu_model="H100"), host("gpu2", instances=2)], [host("gw1")])
    assert error.startswith("gpu2: nothing tells the weight of gpu2-a")
    assert inventory_errors([host("gpu1", instances=[{"weight": 2}]), host("gpu2")], [host("gw1")]) == []


def fact(*memory: int, health: str = "ok", message: str = "") -> dict[str, Any]:
    """Return the local fact of a host with GPUs of these sizes in MiB."""
    devices = [
        {"uuid": f"GPU-{index}", "model": "a card", "memory": size} for index, size in enumerate(memory)
    ]
    return {"health": health, "message": message, "devices": devices}


def test_a_host_with_what_the_plan_needs_has_no_errors() -> None:
    assert gpu_errors(planned(instances=2, gpus=2), fact(24564, 24564), 2) == []


def test_nothing_is_refused_where_no_fact_is_known_or_no_gpu_is_used() -> None:
    assert gpu_errors(planned(instances=2, gpus=2), {}, 2) == []
    assert gpu_errors(planned(gpus=0), fact(health="no_driver"), 0) == []


@pytest.mark.parametrize(
    ("variables", "known", "message"),
    [
        ({"gpus": 3}, fact(81559, 81559), "gpu1: gpus is 3 in the inventory, and the host has 2"),
        ({"instances": 2, "gpus": 1}, fact(24564), "gpu1: a card: GPU 0 has 25.8 GB and its instances need"),
        ({}, fact(health="lost", message="GPU 0 is lost"), "gpu1: GPU 0 is lost"),
    ],
    ids=["fewer GPUs", "less memory", "a lost GPU"],
)
def test_a_host_that_is_not_as_planned_is_refused_with_the_numbers(
    variables: dict[str, Any], known: dict[str, Any], message: str
) -> None:
    (error,) = gpu_errors(planned(**variables), known, variables.get("gpus", 1))
    assert error.startswith(message)


def test_an_instance_on_a_gpu_that_is_not_there_is_named() -> None:
    (error,) = gpu_errors(planned(instances=2, gpus=2), fact(81559))
    assert error == "gpu1: instance b is planned on GPU 1, and the host has 1"
