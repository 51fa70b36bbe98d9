"""The instance plan: which instances a GPU host runs, derived from the inventory.

This is the only place that knows the rule. A host says how many instances it runs, or lists them;
names, ports, programs, logs, GPUs, memory, settings and weights follow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from plugins.plugin_utils import gpus as table
from plugins.plugin_utils.values import PlanError, for_each_gpu, mapping, one_of, positive, whole

BASE_PORT = 7861
MAX_INSTANCES = 100
MAX_GPUS = 64
LOG_FOLDER = "/var/log/z-image-turbo"
PROGRAM_PREFIX = "z-image-turbo-"
INSTANCE_KEYS = ("gpu", "name", "port", "preset", "settings", "weight")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
ADDRESS = re.compile(r"[A-Za-z0-9.:-]+")
SETTING = re.compile(r"[a-z][a-z0-9_]*")

Instance = dict[str, Any]


class Host(NamedTuple):
    """What is the same for all instances of a host."""

    name: str
    address: str
    base_port: int
    gpus: int
    preset: str
    needs: dict[str, float]  # memory of an instance by preset, in GB
    seconds: dict[str, float]  # for one picture, measured, by id of the instance
    memory: list[float | None]  # of each GPU, in GB; None: not known
    models: list[table.Model | None]


def plan(variables: Mapping[str, Any]) -> list[Instance]:
    """Return the instances of one host, in order.

    Args:
        variables: the host's variables. Read are `inventory_hostname`, `address`, `instances` (how many, or
            a list with a mapping for each, whose keys override what the position would give),
            `instance_base_port`, `gpus` (how many; 0 for none; instances take them in turn), `gpu_model`,
            `gpu_memory`, `preset`, `preset_memory` and `calibration`.

    Raises:
        PlanError: for a plan that cannot be.

    """
    host = _host(variables)
    declared = _declared(host.name, variables.get("instances", 1))
    planned = [_instance(host, index, overrides) for index, overrides in enumerate(declared)]
    for key in ("port", "name"):
        _refuse_repeated(host.name, key, planned)
    _refuse_too_full(host, planned)
    return [{**instance, **_weight(host, instance, planned)} for instance in planned]


def letters(index: int) -> str:
    """Return the name of the instance at a position: 0 is a, 25 is z, 26 is aa."""
    name = ""
    index += 1
    while index > 0:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("a") + letter) + name
    return name


def _host(variables: Mapping[str, Any]) -> Host:
    """Return what is the same for all instances of a host."""
    name, address = str(variables["inventory_hostname"]), variables.get("address")
    if not HOST.fullmatch(name):
        raise PlanError(name, "inventory_hostname", name, "a URL can hold letters, digits, dots and dashes")
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise PlanError(name, "address", address, "gateways need an IP address or a host name")
    port = whole(name, "instance_base_port", variables.get("instance_base_port", BASE_PORT), 1024, 65535)
    gpus = whole(name, "gpus", variables.get("gpus", 1), 0, MAX_GPUS)
    models = [
        None if model is None else _model(name, model)
        for model in for_each_gpu(name, "gpu_model", variables.get("gpu_model"), gpus)
    ]
    memory = [
        (model.memory if model else None) if told is None else positive(name, "gpu_memory", told, "GB")
        for told, model in zip(
            for_each_gpu(name, "gpu_memory", variables.get("gpu_memory"), gpus), models, strict=True
        )
    ]
    needs = {preset: known.memory for preset, known in table.PRESETS.items()}
    for preset, need in mapping(name, "preset_memory", variables.get("preset_memory")).items():
        one_of(name, "preset_memory", preset, table.PRESETS)
        needs[preset] = positive(name, f"preset_memory.{preset}", need, "GB")
    seconds = {
        instance: positive(name, f"calibration.{instance}", measured, "seconds")
        for instance, measured in mapping(name, "calibration", variables.get("calibration")).items()
    }
    preset = one_of(name, "preset", variables.get("preset", table.DEFAULT_PRESET), table.PRESETS)
    return Host(name, address, port, gpus, preset, needs, seconds, memory, models)


def _declared(host: str, declared: object) -> list[Mapping[str, Any]]:
    """Return a mapping of overrides for each instance."""
    if isinstance(declared, int) and not isinstance(declared, bool):
        whole(host, "instances", declared, 1, MAX_INSTANCES)
        return [{}] * declared
    if not isinstance(declared, list):
        raise PlanError(host, "instances", declared, "give a count or a list of instances")
    if not 1 <= len(declared) <= MAX_INSTANCES:
        raise PlanError(host, "instances", declared, f"a host runs 1 to {MAX_INSTANCES} instances")
    for index, overrides in enumerate(declared):
        where = f"instances[{index}]"
        if not isinstance(overrides, Mapping):
            raise PlanError(host, where, overrides, "an instance is a mapping, {} for all defaults")
        for key in overrides:
            if key not in INSTANCE_KEYS:
                raise PlanError(
                    host, where, dict(overrides), f"unknown key {key!r}, known are {INSTANCE_KEYS}"
                )
    return declared


def _instance(host: Host, index: int, overrides: Mapping[str, Any]) -> Instance:
    """Return the instance at a position; its weight is None unless it is told."""
    where = f"instances[{index}]"
    name = overrides.get("name", letters(index))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PlanError(
            host.name, f"{where}.name", name, "use small letters, digits and single dashes, a letter first"
        )
    port = whole(host.name, f"{where}.port", overrides.get("port", host.base_port + index), 1024, 65535)
    gpu = overrides.get("gpu", index % host.gpus if host.gpus else None)
    if gpu is not None and not host.gpus:
        raise PlanError(host.name, f"{where}.gpu", gpu, "the host has no GPU (gpus is 0)")
    preset = one_of(host.name, f"{where}.preset", overrides.get("preset", host.preset), table.PRESETS)
    if preset != table.DEFAULT_PRESET and not host.gpus:
        raise PlanError(host.name, f"{where}.preset", preset, "it needs a GPU (gpus is 0)")
    settings = mapping(host.name, f"{where}.settings", overrides.get("settings"))
    for key in settings:
        if not SETTING.fullmatch(str(key)):
            raise PlanError(host.name, f"{where}.settings", dict(settings), f"{key!r} is no setting's name")
    weight = overrides.get("weight")
    return {
        "id": f"{host.name}-{name}",
        "host": host.name,
        "name": name,
        "program": PROGRAM_PREFIX + name,
        "address": host.address,
        "port": port,
        "endpoint": f"[{host.address}]:{port}" if ":" in host.address else f"{host.address}:{port}",
        "gpu": None if gpu is None else whole(host.name, f"{where}.gpu", gpu, 0, host.gpus - 1),
        "preset": preset if host.gpus else None,
        "memory": host.needs[preset] if host.gpus else None,
        "settings": {**table.PRESETS[preset].settings, **settings},
        "weight": None if weight is None else whole(host.name, f"{where}.weight", weight, 1, 100),
        "log": f"{LOG_FOLDER}/{name}.log",
    }


def _weight(host: Host, instance: Instance, planned: list[Instance]) -> dict[str, Any]:
    """Return the weight of an instance, its pictures a minute unless it is told, and where it is from."""
    if instance["weight"] is not None:
        return {"weight": instance["weight"], "weight_from": "inventory"}
    if instance["id"] in host.seconds:
        return {"weight": table.weight_of(60 / host.seconds[instance["id"]]), "weight_from": "calibration"}
    model = None if instance["gpu"] is None else host.models[instance["gpu"]]
    if model is None:
        return {"weight": 1, "weight_from": "nothing"}
    sharing = sum(other["gpu"] == instance["gpu"] for other in planned)
    pictures = table.pictures_a_minute(model, table.PRESETS[instance["preset"]]) / sharing
    return {"weight": table.weight_of(pictures), "weight_from": "gpu_model"}


def _refuse_repeated(host: str, key: str, planned: list[Instance]) -> None:
    """Refuse two instances of a host with the same port or name."""
    for value, count in Counter(instance[key] for instance in planned).items():
        if count > 1:
            raise PlanError(
                host, "instances", [item[key] for item in planned], f"{key} {value} is there {count} times"
            )


def _refuse_too_full(host: Host, planned: list[Instance]) -> None:
    """Refuse a GPU whose memory, as far as the inventory tells it, does not hold its instances."""
    for gpu, memory in enumerate(host.memory):
        reason = "" if memory is None else table.too_full(gpu, memory, planned, host.needs)
        if reason:
            raise PlanError(host.name, "instances", [item["name"] for item in planned], reason)


def _model(host: str, value: object) -> table.Model:
    """Return what is known of a GPU model."""
    found = table.find_model(value) if isinstance(value, str) else None
    if found is None:
        known = ", ".join(table.MODELS)
        raise PlanError(
            host, "gpu_model", value, f"known are {known}; of another one give gpu_memory and weights"
        )
    return found
