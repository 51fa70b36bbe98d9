"""What Prometheus is to watch, made of the inventory."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

# Ansible loads a filter by its file, so the code that plugins share is found by its place.
sys.path.append(str(Path(__file__).parents[2]))

from plugins.plugin_utils.plan import plan
from plugins.plugin_utils.values import PlanError

DOCUMENTATION = """
name: monitoring_targets
short_description: What Prometheus is to watch, made of the inventory
description:
  - Returns the targets of each job, as the role C(monitoring) takes them.
positional: _input
options:
  _input:
    description: The variables of each GPU host.
    type: list
    elements: dict
    required: true
  gateways:
    description: The variables of each gateway.
    type: list
    elements: dict
    default: []
  monitoring:
    description: The variables of each monitoring host.
    type: list
    elements: dict
    default: []
  service_url:
    description: The address of the service as users know it, which is probed as well.
    type: str
    default: ''
author:
  - The Z-Image-Turbo HA authors
"""

EXAMPLES = """
- name: Show what is watched
  ansible.builtin.debug:
    msg: "{{ groups['gpu'] | map('extract', hostvars) | monitoring_targets }}"
"""

RETURN = """
_value:
  description: "{job: [{targets: [address], labels: {instance, host, group, ...}}]}"
  type: dict
"""

PORTS = {"exporters_node_port": 9100, "exporters_nginx_port": 9113, "exporters_log_port": 3903}
DCGM_PORT = 9400
READY, PICTURE = "/readyz", "/v1/images/generations"

Hosts = Iterable[Mapping[str, Any]]
Targets = dict[str, list[dict[str, Any]]]


def monitoring_targets(
    gpu_hosts: Hosts, gateways: Hosts = (), monitoring: Hosts = (), service_url: str = ""
) -> Targets:
    """Return the targets of each job; a job without any is there too."""
    jobs: Targets = {
        job: []
        for job in ("z_image_turbo", "node", "nginx", "gateway_log", "dcgm", "probe_readyz", "probe_picture")
    }
    gpu_hosts, gateways, monitoring = list(gpu_hosts), list(gateways), list(monitoring)
    seen: set[str] = set()
    for group, hosts in (("gpu", gpu_hosts), ("gateways", gateways), ("monitoring", monitoring)):
        for host in hosts:
            if _name(host) not in seen:
                jobs["node"].append(_of_host(host, group, _port(host, "exporters_node_port")))
            seen.add(_name(host))
    for host in gpu_hosts:
        jobs["z_image_turbo"] += _instances(host)
        if host.get("exporters_gpu") == "dcgm":
            jobs["dcgm"].append(_of_host(host, "gpu", int(host.get("exporters_dcgm_port", DCGM_PORT))))
    for host in gateways:
        jobs["nginx"].append(_of_host(host, "gateways", _port(host, "exporters_nginx_port")))
        jobs["gateway_log"].append(_of_host(host, "gateways", _port(host, "exporters_log_port")))
    entrances = [(_name(host), _url(host)) for host in gateways]
    entrances += [("service", service_url.rstrip("/"))] if service_url else []
    for name, url in entrances:
        labels = {"instance": name, "host": name, "group": "gateways"}
        jobs["probe_readyz"].append({"targets": [url + READY], "labels": labels})
        jobs["probe_picture"].append({"targets": [url + PICTURE], "labels": labels})
    return jobs


def virtual_ips(gateways: Hosts) -> list[str]:
    """Return the virtual addresses of gateways, without the length of their network, as Linux writes them."""
    declared = {str(address) for gateway in gateways for address in gateway.get("virtual_ip_addresses") or []}
    return sorted(str(ipaddress.ip_interface(address).ip) for address in declared)


def _instances(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        planned = plan(host)
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error
    return [
        {
            "targets": [instance["endpoint"]],
            "labels": {
                "instance": instance["id"],
                "host": instance["host"],
                "group": "gpu",
                "gpu": "" if instance["gpu"] is None else str(instance["gpu"]),
                "endpoint": instance["endpoint"],
            },
        }
        for instance in planned
    ]


def _of_host(host: Mapping[str, Any], group: str, port: int) -> dict[str, Any]:
    labels = {"instance": _name(host), "host": _name(host), "group": group}
    return {"targets": [_at(_address(host), port)], "labels": labels}


def _url(gateway: Mapping[str, Any]) -> str:
    if gateway.get("gateway_tls"):
        return f"https://{_at(_address(gateway), int(gateway.get('gateway_tls_port', 443)))}"
    return f"http://{_at(_address(gateway), int(gateway.get('gateway_port', 80)))}"


def _port(host: Mapping[str, Any], variable: str) -> int:
    return int(host.get(variable, PORTS[variable]))


def _name(host: Mapping[str, Any]) -> str:
    return str(host["inventory_hostname"])


def _address(host: Mapping[str, Any]) -> str:
    if not host.get("address"):
        raise AnsibleFilterError(f"{_name(host)}: address is missing: Prometheus needs one to ask the host")
    return str(host["address"])


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"monitoring_targets": monitoring_targets, "virtual_ips": virtual_ips}
