"""What is wrong between the hosts of a service. Each comparison yields level, host, thing, found, advice."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plugins.plugin_utils.diagnosis import Host, Limits

    Told = Iterator[tuple[str, str, str, str, str]]

FAULT, NOTE = "fault", "note"
SAME = {
    "release": "the release of the application",
    "environment": "the Python environment",
    "model": "the model",
}


def compare_versions(hosts: Sequence[Host], _: Limits) -> Told:
    """Tell which hosts have another release, environment, model or version than most."""
    with_instances = [host for host in hosts if host.instances]
    for key, words in SAME.items():
        values = {host.name: host.report["links"].get(key) or "none" for host in with_instances}
        yield from _odd(values, words, "run site.yml (without --limit), and see how it ends on that host")
    versions = {host.name: host.report["version"] or "none" for host in hosts}
    yield from _odd(versions, "the version of this collection", "run site.yml")
    for host in with_instances:
        link = host.report["links"].get("release")
        for name, answer in host.report["ready"].items():
            release = answer.get("release")
            if link and release and release != link:
                yield (
                    FAULT,
                    host.name,
                    f"instance {name}",
                    f"it runs the release {release}, and the host's is {link}",
                    "run site.yml --tags z_image_turbo",
                )


def _odd(values: Mapping[str, str], words: str, advice: str) -> Told:
    """Yield the hosts whose value is not that of most."""
    if len(set(values.values())) < 2:  # noqa: PLR2004 - one is all the same
        return
    usual, count = Counter(values.values()).most_common(1)[0]
    if count * 2 <= len(values):  # nobody can tell which is right
        told = "; ".join(f"{host} has {value}" for host, value in values.items())
        yield FAULT, ", ".join(values), words, f"the hosts have different ones: {told}", advice
        return
    for host, value in values.items():
        if value != usual:
            yield FAULT, host, words, f"{value}, and {count} of {len(values)} hosts have {usual}", advice


def compare_gateways(hosts: Sequence[Host], _: Limits) -> Told:
    """Compare the gateways' view of every instance with the inventory and with what the instances say."""
    answers: dict[str, dict[str, Any]] = {}
    for host in hosts:
        answers |= host.report["ready"]
    for host in hosts:
        if host.fleet is None:
            continue
        agent = host.report["agent"]
        if agent is None:
            yield FAULT, host.name, "gateway", "its agent is not installed", "run site.yml --tags gateway"
        elif "instances" not in agent:
            told = str(agent.get("error", "it does not run"))
            yield (
                FAULT,
                host.name,
                "gateway",
                f"its agent does not tell: {told}",
                "journalctl -u z-image-turbo-gateway",
            )
        else:
            yield from _view(host, agent, answers)


def _view(gateway: Host, agent: Mapping[str, Any], answers: Mapping[str, Mapping[str, Any]]) -> Told:
    planned = {instance["id"]: instance for instance in gateway.fleet or ()}
    seen: Mapping[str, Mapping[str, Any]] = agent["instances"]
    if error := agent.get("error"):
        yield FAULT, gateway.name, "gateway", str(error), "journalctl -u z-image-turbo-gateway; nginx -t"
    if missing := sorted(set(planned) - set(seen)):
        yield (
            FAULT,
            gateway.name,
            "gateway",
            f"it does not know {', '.join(missing)}, which the inventory has",
            "run site.yml --tags gateway",
        )
    if former := sorted(set(seen) - set(planned)):
        yield (
            FAULT,
            gateway.name,
            "gateway",
            f"it still has {', '.join(former)}, which the inventory does not have (any more)",
            "run site.yml --tags gateway",
        )
    for name, row in seen.items():
        if name in planned and row["level"] != "in":
            yield _out(gateway, name, row, planned[name], answers.get(name))


def _out(
    gateway: Host,
    name: str,
    row: Mapping[str, Any],
    instance: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
) -> tuple[str, str, str, str, str]:
    """Return what to say of an instance that a gateway gives no work."""
    if row["drained"]:
        advice = f"when the work on it is done: z-image-turbo-gateway undrain {name}"
        return NOTE, gateway.name, f"instance {name}", "it is drained by an operator", advice
    reason = row["reason"] or row["level"]
    if answer is not None and answer.get("status") == "ready":
        return (
            FAULT,
            gateway.name,
            f"instance {name}",
            f"the gateway gives it no work ({reason}), although it says on its own host that it is ready",
            f"the way from {gateway.name} (curl http://{instance['endpoint']}/readyz): firewall, network",
        )
    advice = f"see what is said of {name} on its host"
    return FAULT, gateway.name, f"instance {name}", f"the gateway gives it no work: {reason}", advice


def compare_virtual_ips(hosts: Sequence[Host], _: Limits) -> Told:
    """Tell which virtual IP nobody has, or more than one gateway."""
    gateways = [host for host in hosts if host.virtual_ips]
    for wanted in sorted({address for host in gateways for address in host.virtual_ips}):
        address = wanted.split("/")[0]
        holders = [host.name for host in gateways if address in host.report["addresses"]]
        if len(holders) == 1:
            continue
        said = f"{' and '.join(holders)} have it at once" if holders else "no gateway has it"
        who = ", ".join(host.name for host in gateways)
        yield (
            FAULT,
            who,
            f"virtual IP {address}",
            said,
            "journalctl -u keepalived; VRRP (IP protocol 112) between them",
        )


# An instance that starts or is drained passes through these.
COMMON = frozenset({"ready", "busy", "loading", "draining"})


def compare_events(hosts: Sequence[Host], limits: Limits) -> Told:
    """Tell what the health check has done or seen lately, other than that instances have started."""
    for host in hosts:
        events = (host.report["health"] or {}).get("events", [])
        since = host.report["time"] - limits.events_hours * 3600
        late = [event for event in events if _seconds(event.get("time")) > since]
        if any(event.get("event") != "state" or event.get("state") not in COMMON for event in late):
            newest = {key: value for key, value in late[-1].items() if key != "time"}
            yield (
                NOTE,
                host.name,
                "health check",
                f"{len(late)} changes in {limits.events_hours:.0f} hours, the last one: "
                + ", ".join(f"{key} {value}" for key, value in newest.items()),
                "see /var/log/z-image-turbo/health.log",
            )


def _seconds(told: object) -> float:
    """Return a time as seconds since 1970; what is no time is long ago."""
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return 0.0


COMPARISONS = (compare_versions, compare_gateways, compare_virtual_ips, compare_events)
