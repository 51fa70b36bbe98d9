"""The instances behind the gateway and how to treat them, as the role wrote them to `fleet.json`."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class FleetError(ValueError):
    """A `fleet.json` that nothing can be made of; says what is wrong with which value."""


@dataclass(frozen=True)
class Instance:
    """One instance; `address` is an IP address, so that Nginx starts without a name server."""

    id: str
    host: str
    address: str
    port: int
    weight: int = 1

    @property
    def endpoint(self) -> str:
        """Where it listens, as Nginx writes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Options:
    """What the operator chose. Times with a unit are Nginx's, numbers are seconds of the agent."""

    drain_idle: float
    fail_timeout: str
    health_url: str
    keepalive: int
    keepalive_timeout: str
    max_fails: int
    pool_clients: tuple[str, ...]
    probe_fall: int
    probe_interval: float
    probe_limit: float
    probe_path: str
    probe_rise: int
    reload_interval: float
    session_backups: int


@dataclass(frozen=True)
class Fleet:
    """All instances, dealt like cards: the first of each host, the second of each host, and so on.

    Who comes next in this ring is on another host wherever there is one.
    """

    instances: tuple[Instance, ...]
    options: Options
    source: str  # tells one fleet.json from another

    def hosts(self) -> dict[str, list[Instance]]:
        """Return the instances of each host."""
        found: dict[str, list[Instance]] = {}
        for instance in self.instances:
            found.setdefault(instance.host, []).append(instance)
        return found

    def after(self, index: int) -> Iterator[Instance]:
        """Yield who may stand in for the instance at `index`, in a certain order: other hosts first."""
        own = self.instances[index].host
        others = self.instances[index + 1 :] + self.instances[:index]
        yield from (other for other in others if other.host != own)
        yield from (other for other in others if other.host == own)


def read_fleet(path: Path) -> Fleet:
    """Return what a file says; raise `FleetError`, or `OSError` when there is none."""
    text = path.read_bytes()
    try:
        content = json.loads(text)
        instances = tuple(_ring(_instance(entry) for entry in content["instances"]))
        options = _options(content["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise FleetError(f"{path}: {type(error).__name__}: {error}") from error
    if not instances:
        raise FleetError(f"{path}: there is no instance")
    if twice := [name for name, count in Counter(one.id for one in instances).items() if count > 1]:
        raise FleetError(f"{path}: more than one instance is called {', '.join(twice)}")
    return Fleet(instances, options, hashlib.sha256(text).hexdigest()[:16])


def _instance(entry: dict[str, Any]) -> Instance:
    address = str(ip_address(entry["address"]))
    weight = int(entry.get("weight", 1))
    if weight < 1:
        raise ValueError(f"{entry['id']}: weight is {weight}; it has to be 1 or more")
    return Instance(str(entry["id"]), str(entry["host"]), address, int(entry["port"]), weight)


def _options(entry: dict[str, Any]) -> Options:
    known = {field.name for field in fields(Options)}
    if entry.keys() != known:
        wrong = sorted(entry.keys() ^ known)
        raise ValueError(f"options: missing or unknown: {', '.join(wrong)}")
    return Options(**{**entry, "pool_clients": tuple(entry["pool_clients"])})


def _ring(instances: Iterable[Instance]) -> Iterator[Instance]:
    hands: dict[str, list[Instance]] = {}
    for instance in instances:
        hands.setdefault(instance.host, []).append(instance)
    for row in itertools.zip_longest(*hands.values()):
        yield from filter(None, row)
