"""The plan of instances as filters, and what is wrong with an inventory or with a host's GPUs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

# Ansible loads a filter by its file, so the code that plugins share is found by its place.
sys.path.append(str(Path(__file__).parents[2]))

from plugins.plugin_utils.gpus import MIB, PRESETS, too_full
from plugins.plugin_utils.plan import Instance, plan
from plugins.plugin_utils.values import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def instance_plan(variables: Mapping[str, Any]) -> list[Instance]:
    """Return the instances of one host, in order.

    Args:
        variables: the host's variables, see `plan`.

    Raises:
        AnsibleFilterError: for a plan that cannot be; it names host, variable and value.

    """
    try:
        return plan(variables)
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error


def inventory_errors(
    gpu_hosts: Iterable[Mapping[str, Any]], gateways: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Return what is wrong with an inventory, a sentence for each fault; empty when nothing is.

    Args:
        gpu_hosts: the variables of each GPU host.
        gateways: the variables of each gateway.

    """
    errors: list[str] = []
    gpu_hosts, gateways = list(gpu_hosts), list(gateways)
    if not gpu_hosts:
        errors.append("The inventory has no GPU host: the group 'gpu' is empty or missing.")
    if not gateways:
        errors.append("The inventory has no gateway: the group 'gateways' is empty or missing.")
    for variables in gateways:
        if not variables.get("address"):
            host = variables["inventory_hostname"]
            errors.append(f"{host}: address is missing: a gateway needs an IP address or a host name")
    everywhere: list[Instance] = []
    for variables in gpu_hosts:
        try:
            everywhere += plan(variables)
        except PlanError as error:
            errors.append(str(error))
    return errors + _taken_twice(everywhere) + _without_weight(everywhere)


def gpu_errors(planned: Iterable[Instance], fact: Mapping[str, Any], gpus: int | None = None) -> list[str]:
    """Return what a host lacks for its instances, a sentence for each fault that is known.

    Args:
        planned: the instances of the host.
        fact: the local fact `gpu` of the host (see roles/cuda); empty when it is not known.
        gpus: how many GPUs the host has by the inventory; None: as many as the instances use.

    """
    planned = [instance for instance in planned if instance.get("gpu") is not None]
    if not planned or not fact:
        return []
    host, devices = planned[0]["host"], fact.get("devices", [])
    if fact.get("health") != "ok":
        return [f"{host}: {fact.get('message') or fact.get('health')}"]
    if gpus is not None and gpus != len(devices):
        return [f"{host}: gpus is {gpus} in the inventory, and the host has {len(devices)}"]
    errors = [
        f"{host}: instance {i['name']} is planned on GPU {i['gpu']}, and the host has {len(devices)}"
        for i in planned
        if i["gpu"] >= len(devices)
    ]
    needs = {preset: known.memory for preset, known in PRESETS.items()}
    needs |= {i["preset"]: i["memory"] for i in planned}
    for gpu, device in enumerate(devices):
        reason = too_full(gpu, device["memory"] * MIB, planned, needs)
        errors += [f"{host}: {device['model']}: {reason}"] if reason else []
    return errors


def _taken_twice(planned: Iterable[Instance]) -> list[str]:
    """Return a sentence for each instance whose address and port belong to one before it."""
    errors = []
    taken: dict[tuple[str, int], str] = {}
    for instance in planned:
        other = taken.setdefault((instance["address"], instance["port"]), instance["id"])
        if other != instance["id"]:
            errors.append(
                f"{instance['host']}: address is {instance['address']!r}: port {instance['port']} there "
                f"belongs to {other} already, so {instance['id']} cannot have it"
            )
    return errors


def _without_weight(planned: list[Instance]) -> list[str]:
    """Return a sentence for each host whose weight is a guess where others' are pictures a minute."""
    known = [i["id"] for i in planned if i["weight_from"] in {"gpu_model", "calibration"}]
    unknown = {i["host"]: i["id"] for i in reversed(planned) if i["weight_from"] == "nothing"}
    return [
        f"{host}: nothing tells the weight of {instance}, and that of {known[0]} is its pictures a minute: "
        "give gpu_model or weight, or run playbooks/calibrate.yml"
        for host, instance in (reversed(unknown.items()) if known else ())
    ]


class FilterModule:
    """The filters of the instance plan."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "instance_plan": instance_plan,
            "inventory_errors": inventory_errors,
            "gpu_errors": gpu_errors,
        }
