"""What is wrong with a service, told from what each host said of itself. It asks nobody and changes nothing.

`diagnose` compares the hosts' reports (roles/doctor/files/examine.py) with the inventory and with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from plugins.plugin_utils import diagnosis_of_hosts, diagnosis_of_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FAULT, NOTE = "fault", "note"


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    level: str  # a fault makes the doctor fail, a note does not
    host: str
    thing: str
    found: str  # with the numbers
    advice: str


class Limits(NamedTuple):
    """From where on something is a fault."""

    disk_free_percent: float = 10.0
    memory_free_percent: float = 5.0
    certificate_days: float = 14.0
    clock_seconds: float = 5.0
    answer_seconds: float = 15.0  # that a question may be on its way to a host
    health_seconds: float = 180.0
    events_hours: float = 24.0


class Host(NamedTuple):
    """A host of the inventory: what is expected of it, and what it told."""

    name: str
    instances: list[dict[str, Any]]  # that it should run, as they are planned
    gpus: int
    fleet: list[dict[str, Any]] | None  # that it should spread requests over; None: it is no gateway
    virtual_ips: list[str]
    release: str  # of the repository; empty: not known
    version: str
    report: dict[str, Any]
    trouble: str  # why there is no report


def diagnose(hosts: Iterable[Host], limits: Limits = Limits()) -> list[Finding]:  # noqa: B008 - it cannot change
    """Return all findings, faults first, in the order of the hosts."""
    hosts = list(hosts)
    findings: list[Finding] = []
    for host in hosts:
        if host.trouble:
            findings.append(
                Finding(
                    FAULT, host.name, "host", host.trouble, "see that it runs and that Ansible can reach it"
                )
            )
            continue
        for look in diagnosis_of_hosts.LOOKS:
            findings += _found(host.name, look(host, limits))
    told = [host for host in hosts if not host.trouble]
    for compare in diagnosis_of_service.COMPARISONS:
        findings += [Finding(*found) for found in compare(told, limits)]
    order = {host.name: index for index, host in enumerate(hosts)}
    return sorted(findings, key=lambda found: (found.level != FAULT, order.get(found.host, -1)))


def _found(host: str, told: Iterable[tuple[str, str, str, str]]) -> Iterator[Finding]:
    for level, thing, found, advice in told:
        yield Finding(level, host, thing, found, advice)


def summary(hosts: Sequence[Host], findings: Sequence[Finding]) -> str:
    """Return the sentence above the table."""
    faults = sum(found.level == FAULT for found in findings)
    notes = len(findings) - faults
    instances = sum(len(host.instances) for host in hosts)
    looked = f"{_count(len(hosts), 'host')} and {_count(instances, 'instance')} looked at"
    if not findings:
        return f"Nothing is wrong: {looked}."
    return f"{_count(faults, 'fault')}, {_count(notes, 'note')}: {looked}."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def table(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a table, of which each finding takes two: what was found, and what to do."""
    if not findings:
        return []
    head = ("", "HOST", "WHAT", "FOUND")
    rows = [(found.level, found.host, found.thing, found.found) for found in findings]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(3)]
    lines = [_line(head, widths)]
    for row, found in zip(rows, findings, strict=True):
        lines += [_line(row, widths), f"{'':{sum(widths) + 6}}-> {found.advice}"]
    return lines


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    return "  ".join(
        [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
    ).rstrip()
