"""The part of Nginx's configuration that depends on the instances and on who of them is in service."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from z_image_turbo_gateway.levels import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from z_image_turbo_gateway.fleet import Fleet, Instance

# A request that one instance lost or refused is given to the instances of the other groups. About so many
# groups leave three quarters of all to choose from, and the configuration still grows with the number of
# instances, not with its square.
GROUPS = 4

HEAD = """\
# Written by z-image-turbo-gateway from fleet.json and from who is in service. Never edit it.
map "" $gateway_fleet { default "@revision@"; }
"""


def render(fleet: Fleet, levels: Mapping[str, Level]) -> str:
    """Return the file; the same input gives the same text. An instance without a level is in service."""
    body = "\n".join((*_pools(fleet, levels), *_maps(fleet), ""))
    revision = f"{fleet.source}.{hashlib.sha256(body.encode()).hexdigest()[:16]}"
    return HEAD.replace("@revision@", revision) + body


def revision_of(text: str) -> str:
    """Return what the gateway that runs this file tells in `X-Gateway-Fleet`."""
    found = re.search(r'^map "" \$gateway_fleet \{ default "(\S+)"; \}$', text, re.MULTILINE)
    return found[1] if found else ""


def _server(instance: Instance, options: str, down: bool) -> str:
    return f"    server {instance.endpoint:<24} {options}{' down' if down else ''};  # {instance.id}"


def _upstream(
    fleet: Fleet, name: str, servers: Iterable[str], *, kilobytes: int = 64, least: bool = True
) -> str:
    options = fleet.options
    lines = [
        f"\nupstream {name} {{",
        *(["    least_conn;"] if least else []),
        f"    zone              {name} {kilobytes}k;",
        *servers,
        f"    keepalive         {options.keepalive};",
        f"    keepalive_timeout {options.keepalive_timeout};",
        "}",
    ]
    return "\n".join(lines)


def _pools(fleet: Fleet, levels: Mapping[str, Level]) -> Iterator[str]:
    options, ring = fleet.options, fleet.instances
    health = f"max_fails={options.max_fails} fail_timeout={options.fail_timeout}"
    anyway = "max_fails=0 backup"
    groups = _groups(fleet)
    size = 64 + 4 * len(ring)

    def busy(instance: Instance, condition: str) -> str:
        takes_none = levels.get(instance.id, Level.IN) >= Level.NO_NEW
        return _server(instance, f"weight={instance.weight} {condition}", takes_none)

    yield (
        "\n# The least busy instance. When all of them failed lately they are asked anyway (the lines with\n"
        '# "backup"), so that the service is back as soon as an instance is.'
    )
    for name in ("api", "ui_new"):
        last = [busy(instance, anyway) for instance in ring if len(ring) > 1]
        yield _upstream(fleet, name, [*(busy(instance, health) for instance in ring), *last], kilobytes=size)
    if len(ring) > 1:
        yield (
            "\n# For the second try of a request: another host, for hosts often go as a whole; the same\n"
            "# one where there is no other."
        )
        for group in dict.fromkeys(groups.values()):
            others = [one for one in ring if groups[one.id].hosts != group.hosts]
            beside = [one for one in ring if groups[one.id].hosts == group.hosts and groups[one.id] != group]
            servers = [busy(one, health) for one in others or beside]
            last = [busy(one, anyway) for one in beside] if others else []
            yield _upstream(fleet, f"api_but_{group}", [*servers, *last], kilobytes=size)
    yield from _session_pools(fleet, levels, health, anyway)
    yield (
        "\n# The files of one host, which all its instances share. Nobody else has them, so one that does\n"
        "# not answer is asked last and not never."
    )
    for host, instances in fleet.hosts().items():
        well = [one for one in instances if levels.get(one.id, Level.IN) < Level.OUT] or instances
        last = [_server(one, anyway, down=False) for one in instances if len(instances) > 1]
        yield _upstream(fleet, f"files_{host}", [*(_server(one, health, down=False) for one in well), *last])


class _Group(NamedTuple):
    """Instances that a second try avoids: some of the instances of one host, or those of some hosts."""

    hosts: int
    part: int

    def __str__(self) -> str:
        return f"{self.hosts}_{self.part}"


def _groups(fleet: Fleet) -> dict[str, _Group]:
    """Return the group of each instance; with few hosts the instances of a host are in several."""
    hosts = fleet.hosts().values()
    parts = math.ceil(GROUPS / len(hosts))
    return {
        instance.id: _Group(number % GROUPS, position % parts)
        for number, instances in enumerate(hosts)
        for position, instance in enumerate(instances)
    }


def _session_pools(fleet: Fleet, levels: Mapping[str, Level], health: str, anyway: str) -> Iterator[str]:
    """While an instance is away all requests of a session have to meet the same other one.

    Else a job is queued at one and its events are asked of another: hence the weights, which make the order
    of the stand-ins certain. A few of them are enough; a line for each would square the configuration.
    """
    yield "\n# The sessions of one instance, and who stands in for it."
    for index, instance in enumerate(fleet.instances):
        others = list(fleet.after(index))
        fit = [other for other in others if levels.get(other.id, Level.IN) == Level.IN]
        backups = (fit or others)[: fleet.options.session_backups]
        servers = [
            _server(instance, health, bool(backups) and levels.get(instance.id, Level.IN) >= Level.MOVED)
        ]
        for position, backup in enumerate(backups, start=1):
            weight = 1000000 ** (len(backups) - position)
            servers.append(_server(backup, f"weight={weight} {anyway}", down=False))
        yield _upstream(fleet, f"ui_{instance.id}", servers, least=False)


def _maps(fleet: Fleet) -> Iterator[str]:
    ring, groups = fleet.instances, _groups(fleet)

    def table(key: str, name: str, default: str, row: Callable[[int, Instance], tuple[str, str]]) -> str:
        rows = [row(index, instance) for index, instance in enumerate(ring)]
        lines = [f"    {match:<26} {value};" for match, value in [("default", default), *rows]]
        return "\n".join([f"map {key} {name} {{", "    volatile;", *lines, "}"])

    yield "\n# Which instance answered."
    yield table(
        "$gateway_last_address",
        "$gateway_instance",
        '""',
        lambda _, instance: (f'"{instance.endpoint}"', instance.id),
    )
    # Also of one alone: the configuration that is there may be of several, and takes its place after this.
    yield "\n# Who may try a request that this instance lost or refused."
    second = {one.id: f"api_but_{groups[one.id]}" if len(ring) > 1 else "api" for one in ring}
    yield table(
        "$gateway_instance",
        "$gateway_second_pool",
        second[ring[0].id],
        lambda _, instance: (instance.id, second[instance.id]),
    )
    yield "\n# A session goes where its event id or cookie says; one that names no instance gets a new one."
    yield table(
        "$gateway_session",
        "$gateway_session_pool",
        "ui_new",
        lambda _, instance: (instance.id, f"ui_{instance.id}"),
    )
    yield "\n# A file is asked of the host which its path names."
    yield "map $gateway_file_host $gateway_file_pool {"
    yield "    default                    $gateway_session_pool;"
    for host in fleet.hosts():
        yield f"    {host:<26} files_{host};"
    yield "}"
    yield "\n# Who may use the port for the pages' own jobs. No proxy speaks for an instance."
    yield "geo $realip_remote_addr $gateway_pool_client {"
    yield "    default                    0;"
    clients = {instance.address: None for instance in ring} | dict.fromkeys(fleet.options.pool_clients)
    for client in clients:
        yield f"    {client:<26} 1;"
    yield "}"
