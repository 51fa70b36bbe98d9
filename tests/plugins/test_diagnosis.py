"""The doctor finds what is wrong with hosts and between them, and says nothing of a healthy service."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from plugins.plugin_utils.diagnosis import Finding, Host, Limits, diagnose, summary, table

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_764_000_000.0
DAY = 86400.0
GB = 1_000_000_000


def stamp(ago: float) -> str:
    """A time as the health check writes it."""
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instance(host: str, name: str, port: int) -> dict[str, Any]:
    return {
        "id": f"{host}-{name}",
        "host": host,
        "program": f"z-image-turbo-{name}",
        "endpoint": f"192.0.2.1:{port}",
        "port": port,
        "gpu": 0,
        "memory": 20.5,
        "log": f"/var/log/z-image-turbo/{name}.log",
    }


def common(host: str) -> dict[str, Any]:
    """What every healthy host tells."""
    return {
        "asked": NOW,
        "time": NOW + 0.4,
        "synchronised": "yes",
        "disks": {"/": {"size": 100 * GB, "free": 60 * GB, "files": 1000, "files_free": 900}},
        "memory": {"size": 64 * GB, "available": 40 * GB},
        "gpu": None,
        "programs": {},
        "configured": [],
        "ports": {},
        "units": {},
        "links": {},
        "agent": None,
        "certificates": {},
        "health": None,
        "addresses": [host],
        "version": "0.1.0",
        "lock": None,
        "ready": {},
    }


def gpu_host(name: str) -> Host:
    planned = [instance(name, "a", 7861), instance(name, "b", 7862)]
    report = common(name) | {
        "gpu": {"health": "ok", "devices": [{"model": "NVIDIA L40S", "memory": 46068}]},
        "programs": {"z-image-turbo-a": "RUNNING", "z-image-turbo-b": "RUNNING"},
        "configured": ["z-image-turbo-a", "z-image-turbo-b"],
        "ports": {"7861": "python app.py", "7862": "python app.py", "22": "sshd"},
        "units": {"supervisor.service": "active"},
        "links": {"release": "r1", "environment": "e1", "model": "m1"},
        "health": {
            "figures": [{"name": "last_run_timestamp_seconds", "value": NOW - 5}],
            "events": [
                {"time": stamp(40 * 3600), "event": "state", "instance": f"{name}-a", "state": "dead"},
                {"time": stamp(600), "event": "state", "instance": f"{name}-a", "state": "loading"},
                {"time": stamp(300), "event": "state", "instance": f"{name}-a", "state": "ready"},
            ],
        },
        "ready": {
            one["id"]: {"http": 200, "status": "ready", "instance": one["id"], "release": "r1", "reason": ""}
            for one in planned
        },
    }
    return Host(name, planned, 1, None, [], "r1", "0.1.0", report, "")


def gateway(name: str, fleet: list[dict[str, Any]], *, holds: bool) -> Host:
    end = NOW + 60 * DAY
    report = common(name) | {
        "agent": {
            "error": "",
            "instances": {one["id"]: {"level": "in", "reason": "", "drained": False} for one in fleet},
        },
        "certificates": {"disk": end, "served": end},
        "addresses": ["192.0.2.9", *(["192.0.2.100"] if holds else [])],
        "units": {"nginx.service": "active"},
    }
    return Host(name, [], 0, fleet, ["192.0.2.100/24"], "", "0.1.0", report, "")


@pytest.fixture
def service() -> dict[str, Host]:
    """Three GPU hosts and two gateways with a virtual IP, all of them well."""
    workers = [gpu_host(f"gpu{number}") for number in (1, 2, 3)]
    fleet = [one for host in workers for one in host.instances]
    gateways = [gateway("gw1", fleet, holds=True), gateway("gw2", fleet, holds=False)]
    return {host.name: copy.deepcopy(host) for host in [*gateways, *workers]}


def test_nothing_is_said_of_a_healthy_service(service: dict[str, Host]) -> None:
    hosts = list(service.values())
    assert diagnose(hosts) == []
    assert table([]) == []
    assert summary(hosts, []) == "Nothing is wrong: 5 hosts and 6 instances looked at."


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets one thing in a report; bars lead inwards."""

    def plant(report: dict[str, Any]) -> None:
        *outer, last = path.split("|")
        for key in outer:
            report = report[key]
        report[last] = value

    return plant


FAULTS: dict[str, tuple[str, Callable[[dict[str, Any]], None], str, str]] = {
    "a driver that fails": (
        "gpu1",
        change("gpu", {"health": "lost", "message": "a GPU is not answering"}),
        "GPU driver",
        "a GPU is not answering",
    ),
    "no fact of the GPUs": ("gpu1", change("gpu", None), "GPU driver", "no local fact"),
    "a GPU that is missing": (
        "gpu1",
        change("gpu|devices", []),
        "GPUs",
        "gpus is 1 in the inventory, and the host has 0",
    ),
    "a GPU that is too small": (
        "gpu1",
        change("gpu|devices", [{"model": "RTX 4080", "memory": 16376}]),
        "GPU 0",
        "it has 17.2 GB, and gpu1-a needs 20.5",
    ),
    "memory that runs out": (
        "gpu1",
        change("memory|available", 2 * GB),
        "memory",
        "2.0 of 64.0 GB are available (3 %, limit 5 %)",
    ),
    "a disk that is full": (
        "gw1",
        change("disks|/|free", 4 * GB),
        "disk of /",
        "4.0 of 100.0 GB are free (4 %, limit 10 %)",
    ),
    "a disk without room for files": (
        "gw1",
        change("disks|/|files_free", 10),
        "disk of /",
        "10.0 of 1000.0 files are free (1 %",
    ),
    "a clock that is behind": ("gpu2", change("time", NOW - 90), "clock", "90 s behind"),
    "a clock that is ahead": ("gpu2", change("time", NOW + 90), "clock", "90 s ahead of"),
    "an instance that was given up": (
        "gpu1",
        change("programs|z-image-turbo-b", "FATAL"),
        "instance gpu1-b",
        "Supervisor has it as FATAL",
    ),
    "Supervisor that does not answer": (
        "gpu1",
        change("programs", {"error": "unix:///run/supervisor.sock no such file"}),
        "Supervisor",
        "no such file",
    ),
    "an instance that is missing": (
        "gpu1",
        change("programs", {"z-image-turbo-a": "RUNNING"}),
        "instance gpu1-b",
        "Supervisor does not know it",
    ),
    "a program that the inventory does not have": (
        "gpu1",
        change("configured", ["z-image-turbo-a", "z-image-turbo-b", "z-image-turbo-c"]),
        "program z-image-turbo-c",
        "the inventory has no such instance",
    ),
    "an instance that does not answer": (
        "gpu1",
        change("ready|gpu1-a", {"error": "timed out"}),
        "instance gpu1-a",
        "timed out; on the port is: python app.py",
    ),
    "an instance that has failed": (
        "gpu1",
        change("ready|gpu1-a", {"status": "failed", "reason": "CUDA error"}),
        "instance gpu1-a",
        "it is failed: CUDA error",
    ),
    "another instance on its port": (
        "gpu1",
        change("ready|gpu1-a|instance", "gpu9-z"),
        "port 7861",
        "gpu9-z answers where gpu1-a should",
    ),
    "a service that does not run": (
        "gw1",
        change("units|nginx.service", "failed"),
        "nginx.service",
        "it is failed",
    ),
    "a certificate that ends soon": (
        "gw1",
        change("certificates", {"disk": NOW + 3 * DAY, "served": NOW + 3 * DAY}),
        "certificate",
        "ends in 3.0 days (limit 14)",
    ),
    "a certificate that has ended": (
        "gw1",
        change("certificates", {"disk": NOW - DAY, "served": NOW - DAY}),
        "certificate",
        "ended 1.0 days ago",
    ),
    "a certificate that clients do not get": (
        "gw1",
        change("certificates|disk", NOW + 90 * DAY),
        "certificate",
        "clients get another one than is on disk",
    ),
    "another release than most": (
        "gpu3",
        change("links|release", "r0"),
        "the release of",
        "r0, and 2 of 3 hosts have r1",
    ),
    "another environment than most": (
        "gpu3",
        change("links|environment", "e0"),
        "the Python environment",
        "e0, and 2 of 3",
    ),
    "another model than most": (
        "gpu3",
        change("links|model", None),
        "the model",
        "none, and 2 of 3 hosts have m1",
    ),
    "another version than most": (
        "gpu3",
        change("version", ""),
        "the version",
        "none, and 4 of 5 hosts have 0.1.0",
    ),
    "an instance that runs another release": (
        "gpu1",
        change("ready|gpu1-a|release", "r0"),
        "instance gpu1-a",
        "it runs the release r0, and the host's is r1",
    ),
    "an agent that is dead": (
        "gw2",
        change("agent", {"error": "it does not run"}),
        "gateway",
        "its agent does not tell",
    ),
    "a gateway that is not set up": ("gw2", change("agent", None), "gateway", "its agent is not installed"),
    "a gateway that Nginx does not follow": (
        "gw2",
        change("agent|error", "nginx: [emerg]"),
        "gateway",
        "[emerg]",
    ),
    "an instance that a gateway cannot reach": (
        "gw2",
        change("agent|instances|gpu1-a", {"level": "out", "reason": "probes: timed out", "drained": False}),
        "instance gpu1-a",
        "(probes: timed out), although it says on its own host that it is ready",
    ),
    "an instance that has left the inventory": (
        "gw2",
        change("agent|instances|gpu9-a", {"level": "in", "reason": "", "drained": False}),
        "gateway",
        "it still has gpu9-a",
    ),
    "a health check that has stopped": (
        "gpu1",
        change("health|figures", [{"name": "last_run_timestamp_seconds", "value": NOW - 900}]),
        "health check",
        "it has not looked for 900 s",
    ),
    "an instance that is stuck": (
        "gpu1",
        change("health|figures", [{"name": "state", "instance": "gpu1-b", "state": "stuck", "value": 1.0}]),
        "instance gpu1-b",
        "the health check has it as stuck",
    ),
    "a virtual IP that two gateways have": (
        "gw2",
        change("addresses", ["192.0.2.100"]),
        "virtual IP 192.0.2.100",
        "gw1 and gw2 have it at once",
    ),
    "a virtual IP that nobody has": (
        "gw1",
        change("addresses", []),
        "virtual IP 192.0.2.100",
        "no gateway has it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_with_host_thing_and_numbers_and_nothing_is_said_of_others(
    service: dict[str, Host], fault: tuple[str, Callable[[dict[str, Any]], None], str, str]
) -> None:
    host, plant, thing, said = fault
    plant(service[host].report)
    findings = diagnose(service.values())
    named = [found for found in findings if thing in found.thing and said in found.found]
    assert named, findings
    assert named[0].level == "fault"
    assert host in named[0].host
    assert all(found.advice for found in findings)
    assert {found.host for found in findings} == {named[0].host}, findings


NOTES: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    "a model that is being loaded": (
        "gpu1",
        change("ready|gpu1-a|status", "loading"),
        "it is loading the model",
    ),
    "an instance that an operator has drained": (
        "gw1",
        change("agent|instances|gpu1-a", {"level": "no_new", "reason": "drained", "drained": True}),
        "it is drained by an operator",
    ),
    "a run that is at work": (
        "gpu1",
        change(
            "lock", {"user": "ann", "playbook": "site.yml", "since": NOW - 600, "control": {"host": "desk"}}
        ),
        "ann runs site.yml on it from desk, for 10 minutes",
    ),
    "what the health check did lately": (
        "gpu1",
        change(
            "health|events", [{"time": stamp(60), "event": "state", "instance": "gpu1-b", "state": "dead"}]
        ),
        "1 changes in 24 hours, the last one: event state, instance gpu1-b, state dead",
    ),
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_what_is_nobodys_fault_is_a_note(
    service: dict[str, Host], note: tuple[str, Callable[[dict[str, Any]], None], str]
) -> None:
    host, plant, said = note
    plant(service[host].report)
    findings = diagnose(service.values())
    assert [(found.level, found.host, found.found) for found in findings] == [("note", host, said)]


def test_a_host_that_cannot_be_reached_is_a_fault_and_the_others_are_looked_at(
    service: dict[str, Host],
) -> None:
    service["gpu1"] = service["gpu1"]._replace(report={}, trouble="Failed to connect: timed out")
    service["gpu2"].report["memory"]["available"] = 0
    findings = diagnose(service.values())
    assert [(found.host, found.thing) for found in findings] == [("gpu1", "host"), ("gpu2", "memory")]


def test_a_release_that_is_not_deployed_yet_is_a_note(service: dict[str, Host]) -> None:
    findings = diagnose(host._replace(release="r2" if host.instances else "") for host in service.values())
    assert {found.level for found in findings} == {"note"}
    assert findings[0].found == "it has r1, and the repository has r2"


def test_limits_can_be_other_ones(service: dict[str, Host]) -> None:
    findings = diagnose(service.values(), Limits(certificate_days=90))
    assert {found.host for found in findings} == {"gw1", "gw2"}


def test_the_table_has_faults_first_and_says_what_to_do() -> None:
    findings = [Finding("fault", "gpu1", "memory", "none is left", "buy some")]
    assert table(findings) == [
        "       HOST  WHAT    FOUND",
        "fault  gpu1  memory  none is left",
        "                     -> buy some",
    ]


def test_of_two_hosts_that_differ_none_is_called_the_odd_one(service: dict[str, Host]) -> None:
    del service["gpu3"]
    service["gpu1"].report["links"]["model"] = "m0"
    (found,) = (one for one in diagnose(service.values()) if one.thing == "the model")
    assert found.host == "gpu1, gpu2"
    assert found.found == "the hosts have different ones: gpu1 has m0; gpu2 has m1"
