"""Filters of the playbooks that change a running service: whom a name means, and what a way back leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAMES = ("release", "environment", "model")


def targets(planned: Iterable[Mapping[str, Any]], target: str | None) -> list[Mapping[str, Any]]:
    """Return the instances that a name means: those of a host, or one by its id; none for an unknown name."""
    return [instance for instance in planned if target and target in {instance["host"], instance["id"]}]


def target_error(planned: Iterable[Mapping[str, Any]], target: str | None) -> str:
    """Return what is wrong with the name of a host or an instance, an empty string when nothing is."""
    planned = list(planned)
    if targets(planned, target):
        return ""
    hosts: dict[str, list[str]] = {}
    for instance in planned:
        hosts.setdefault(instance["host"], []).append(instance["id"])
    names = "; ".join(f"{host} ({', '.join(ids)})" for host, ids in hosts.items())
    said = f"target is {target}" if target else "target is missing"
    return f"{said}: it has to be a host or an instance of the inventory, -e target=<name>. There are {names}"


def ways_back(histories: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each host what a rollback leads to: `to`, a version, and `error`, a sentence or nothing.

    What the latest change of all hosts has brought, finished or not, is taken back wherever it serves. Other
    hosts stay with what serves there: the change, or an earlier rollback, has not come to them or is undone.

    Args:
        histories: what the module `version_history` returns, by host.

    """
    brought = _brought(list(histories.values()))
    return {host: _way_back(history, brought) for host, history in histories.items()}


def _brought(histories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the latest change has brought: names and values that were others before."""
    for history in histories:
        if history["current"] and (begun := _difference(history["begun"], history["current"])):
            return begun
    served = [history["versions"] for history in histories if history["versions"]]
    if not served:
        return {}
    latest = max(served, key=lambda versions: versions[-1]["since"])
    return _difference(latest[-1], latest[-2]) if latest[1:] else {}


def _difference(version: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in NAMES if version and version[name] != before[name]}


def _way_back(history: Mapping[str, Any], brought: Mapping[str, Any]) -> dict[str, Any]:
    current, versions = history["current"], history["versions"]
    if not current:
        return {"to": {}, "error": "nothing is known of what serves there: run site.yml first"}
    if not brought:
        return {"to": {}, "error": "nothing served there before what serves now"}
    if not _has(current, brought):
        return {"to": current, "error": ""}
    earlier = [version for version in versions if not _has(version, brought)]
    if not earlier:
        return {"to": {}, "error": "nothing is known of what served there before"}
    return {"to": {name: earlier[-1][name] for name in NAMES}, "error": ""}


def _has(version: Mapping[str, Any], brought: Mapping[str, Any]) -> bool:
    return any(version[name] == value for name, value in brought.items())


def failure_text(result: Mapping[str, Any]) -> str:
    """Return what a failed task says, with the words of its command."""
    return "\n".join(str(result[key]) for key in ("msg", "stderr") if result.get(key))


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "failure_text": failure_text,
            "rollout_target_error": target_error,
            "rollout_targets": targets,
            "ways_back": ways_back,
        }
