"""The instance plan: which instances a GPU host runs, derived from the inventory.

This is the only place that knows the rule. A host says how many instances it runs, or lists them;
names, ports, programs, logs and GPUs follow from the position in the list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ansible.errors import AnsibleFilterError

BASE_PORT = 7861
MAX_INSTANCES = 100
LOG_FOLDER = "/var/log/z-image-turbo"
PROGRAM_PREFIX = "z-image-turbo-"
INSTANCE_KEYS = ("gpu", "name", "port", "weight")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
ADDRESS = re.compile(r"[A-Za-z0-9.:-]+")

Instance = dict[str, Any]


class Host(NamedTuple):
    """What is the same for all instances of a host."""

    name: str
    address: str
    base_port: int
    gpus: int


class PlanError(ValueError):
    """A variable of a host that no plan can be made of; says host, variable, value and reason."""

    def __init__(self, host: str, variable: str, value: object, reason: str) -> None:
        """Compose the message that the operator reads."""
        super().__init__(f"{host}: {variable} is {value!r}: {reason}")


def letters(index: int) -> str:
    """Return the name of the instance at a position: 0 is a, 25 is z, 26 is aa."""
    name = ""
    index += 1
    while index > 0:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("a") + letter) + name
    return name


def instances(
    declared: object, host: str, address: str, base_port: object = BASE_PORT, gpus: object = 1
) -> list[Instance]:
    """Return the instances of one host, in order.

    Args:
        declared: how many instances there are, or a list with a mapping for each, whose keys
            (`name`, `port`, `gpu`, `weight`) override what the position would give.
        host: name of the host in the inventory.
        address: where gateways reach the host.
        base_port: port of the first instance.
        gpus: how many GPUs the host has; 0 for none. Instances take them in turn.

    Raises:
        AnsibleFilterError: for a plan that cannot be; it names host, variable and value.

    """
    try:
        return plan(declared, host, address, base_port, gpus)
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error


def plan(declared: object, host: str, address: object, base_port: object, gpus: object) -> list[Instance]:
    """Do the work of `instances`, with an error that callers can collect."""
    if not HOST.fullmatch(host):
        raise PlanError(host, "inventory_hostname", host, "a URL can hold letters, digits, dots and dashes")
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise PlanError(host, "address", address, "gateways need an IP address or a host name")
    where = Host(
        host,
        address,
        _whole(host, "instance_base_port", base_port, 1024, 65535),
        _whole(host, "gpus", gpus, 0, 64),
    )
    planned = [
        _instance(where, index, overrides) for index, overrides in enumerate(_declared(host, declared))
    ]
    for key in ("port", "name"):
        _refuse_repeated(host, key, planned)
    return planned


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
            everywhere += plan(
                variables.get("instances", 1),
                str(variables["inventory_hostname"]),
                variables.get("address"),
                variables.get("instance_base_port", BASE_PORT),
                variables.get("gpus", 1),
            )
        except PlanError as error:
            errors.append(str(error))
    taken: dict[tuple[str, int], str] = {}
    for instance in everywhere:
        other = taken.setdefault((instance["address"], instance["port"]), instance["id"])
        if other != instance["id"]:
            errors.append(
                f"{instance['host']}: address is {instance['address']!r}: port {instance['port']} there "
                f"belongs to {other} already, so {instance['id']} cannot have it"
            )
    return errors


def _declared(host: str, declared: object) -> list[Mapping[str, Any]]:
    """Return a mapping of overrides for each instance."""
    if isinstance(declared, int) and not isinstance(declared, bool):
        _whole(host, "instances", declared, 1, MAX_INSTANCES)
        return [{}] * declared
    if not isinstance(declared, list):
        raise PlanError(host, "instances", declared, "give a count or a list of instances")
    if not 1 <= len(declared) <= MAX_INSTANCES:
        raise PlanError(host, "instances", declared, f"a host runs 1 to {MAX_INSTANCES} instances")
    for index, overrides in enumerate(declared):
        if not isinstance(overrides, Mapping):
            raise PlanError(
                host, f"instances[{index}]", overrides, "an instance is a mapping, {} for all defaults"
            )
        for key in overrides:
            if key not in INSTANCE_KEYS:
                raise PlanError(
                    host,
                    f"instances[{index}]",
                    dict(overrides),
                    f"unknown key {key!r}, known are {INSTANCE_KEYS}",
                )
    return declared


def _instance(host: Host, index: int, overrides: Mapping[str, Any]) -> Instance:
    """Return the instance at a position."""
    where = f"instances[{index}]"
    name = overrides.get("name", letters(index))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PlanError(
            host.name, f"{where}.name", name, "use small letters, digits and single dashes, a letter first"
        )
    port = _whole(host.name, f"{where}.port", overrides.get("port", host.base_port + index), 1024, 65535)
    gpu = overrides.get("gpu", index % host.gpus if host.gpus else None)
    if gpu is not None and not host.gpus:
        raise PlanError(host.name, f"{where}.gpu", gpu, "the host has no GPU (gpus is 0)")
    return {
        "id": f"{host.name}-{name}",
        "host": host.name,
        "name": name,
        "program": PROGRAM_PREFIX + name,
        "address": host.address,
        "port": port,
        "endpoint": f"[{host.address}]:{port}" if ":" in host.address else f"{host.address}:{port}",
        "gpu": None if gpu is None else _whole(host.name, f"{where}.gpu", gpu, 0, host.gpus - 1),
        "weight": _whole(host.name, f"{where}.weight", overrides.get("weight", 1), 1, 100),
        "log": f"{LOG_FOLDER}/{name}.log",
    }


def _whole(host: str, variable: str, value: object, least: int, most: int) -> int:
    """Return the value if it is a whole number between the limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(host, variable, value, "a whole number is needed")
    if not least <= value <= most:
        raise PlanError(host, variable, value, f"it must be {least} to {most}")
    return value


def _refuse_repeated(host: str, key: str, planned: list[Instance]) -> None:
    """Refuse two instances of a host with the same port or name."""
    for value, count in Counter(instance[key] for instance in planned).items():
        if count > 1:
            raise PlanError(
                host, "instances", [item[key] for item in planned], f"{key} {value} is there {count} times"
            )


class FilterModule:
    """The filters of the instance plan."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"instances": instances, "inventory_errors": inventory_errors}
