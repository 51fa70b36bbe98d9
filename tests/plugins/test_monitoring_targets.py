"""What Prometheus watches follows from the inventory alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.monitoring_targets import monitoring_targets, virtual_ips


def host(name: str, address: str, **variables: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, "address": address, **variables}


GPU1 = host("gpu1", "192.0.2.11", gpus=2, instances=3, exporters_gpu="dcgm")
GPU2 = host("gpu2", "2001:db8::12", gpus=0, exporters_node_port=9101)
GW1 = host(
    "gw1", "192.0.2.10", gateway_tls=True, virtual_ip_addresses=["192.0.2.100/24", "2001:0DB8::0100/64"]
)
MON1 = host("mon1", "192.0.2.20")


def test_every_instance_is_a_target_that_says_who_and_where_it_is() -> None:
    targets = monitoring_targets([GPU1, GPU2])["z_image_turbo"]
    assert [target["targets"] for target in targets] == [
        ["192.0.2.11:7861"],
        ["192.0.2.11:7862"],
        ["192.0.2.11:7863"],
        ["[2001:db8::12]:7861"],
    ]
    assert targets[2]["labels"] == {
        "instance": "gpu1-c",
        "host": "gpu1",
        "group": "gpu",
        "gpu": "0",
        "endpoint": "192.0.2.11:7863",
    }
    assert targets[3]["labels"]["gpu"] == ""


def test_every_host_is_a_target_once_by_the_port_of_its_own_exporter() -> None:
    nodes = monitoring_targets([GPU1, GPU2], [GW1, GPU1], [MON1])["node"]
    assert [(node["labels"]["host"], node["labels"]["group"], *node["targets"]) for node in nodes] == [
        ("gpu1", "gpu", "192.0.2.11:9100"),
        ("gpu2", "gpu", "[2001:db8::12]:9101"),
        ("gw1", "gateways", "192.0.2.10:9100"),
        ("mon1", "monitoring", "192.0.2.20:9100"),
    ]


def test_only_hosts_with_nvidias_exporter_are_asked_for_it() -> None:
    assert [job["targets"] for job in monitoring_targets([GPU1, GPU2])["dcgm"]] == [["192.0.2.11:9400"]]


def test_each_gateway_and_the_service_itself_is_probed_where_users_come_in() -> None:
    jobs = monitoring_targets(
        [GPU1], [GW1, host("gw2", "192.0.2.9", gateway_port=8080)], (), "https://pictures.example/"
    )
    assert [target["targets"] for target in jobs["probe_readyz"]] == [
        ["https://192.0.2.10:443/readyz"],
        ["http://192.0.2.9:8080/readyz"],
        ["https://pictures.example/readyz"],
    ]
    assert [target["labels"]["host"] for target in jobs["probe_picture"]] == ["gw1", "gw2", "service"]


def test_a_job_without_targets_is_there_too() -> None:
    assert monitoring_targets([GPU1])["nginx"] == []


def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="mon1: address is missing"):
        monitoring_targets([GPU1], [], [{"inventory_hostname": "mon1"}])


def test_virtual_addresses_are_written_as_the_hosts_write_them() -> None:
    assert virtual_ips([GW1, host("gw2", "192.0.2.9")]) == ["192.0.2.100", "2001:db8::100"]
