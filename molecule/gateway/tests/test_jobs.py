"""Progress and cancel reach the caller's jobs on whatever instance holds them, and nobody else's."""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from conftest import PORTS, Client, instance, wait_until, wait_until_all_are_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

PROGRESS, INTERRUPT, SKIP = "/sdapi/v1/progress", "/sdapi/v1/interrupt", "/sdapi/v1/skip"


@pytest.fixture
def me(gateway: Client) -> str:
    """Return by which name the gateway makes this client known."""
    told = dict(gateway.get("/").json["headers"])
    return str(told["X-Forwarded-For"])


@pytest.fixture
def have_jobs(gateway: Client) -> Iterator[Callable[[str, dict[str, int]], None]]:
    """Return a function that gives an instance jobs, by caller."""
    assert gateway

    def have(name: str, jobs: dict[str, int]) -> None:
        instance(name).post("/stub/jobs", json.dumps(jobs))

    yield have
    for name in PORTS:
        have(name, {})


def calls(name: str) -> list[str]:
    """Return the calls to give jobs up that an instance has seen."""
    return list(instance(name).get("/stub/").json["calls"])


@pytest.mark.parametrize("busy", PORTS)
def test_progress_is_found_wherever_the_job_is(
    gateway: Client, have_jobs: Callable[[str, dict[str, int]], None], me: str, busy: str
) -> None:
    have_jobs(busy, {me: 2, "somebody else": 5})
    wait_until(lambda: gateway.get(PROGRESS).json["state"]["job"] == busy)  # it may be half a second old
    answer = gateway.get(PROGRESS)
    assert answer.status == 200
    assert (answer.json["state"]["job"], answer.json["state"]["job_count"]) == (busy, 2)
    assert answer.headers["X-Served-By"] == "gateway"


def test_jobs_of_somebody_else_are_not_seen(
    gateway: Client, have_jobs: Callable[[str, dict[str, int]], None]
) -> None:
    have_jobs("backend1-a", {"somebody else": 5})
    answer = gateway.get(PROGRESS + "?skip_current_image=true", X_Principal="somebody else")
    assert (answer.json["progress"], answer.json["state"]["job_count"]) == (0.0, 0)


@pytest.mark.parametrize("path", [INTERRUPT, SKIP])
def test_giving_up_reaches_every_instance_in_the_callers_name(
    gateway: Client, have_jobs: Callable[[str, dict[str, int]], None], me: str, path: str
) -> None:
    for name in PORTS:
        have_jobs(name, {me: 1})
    assert gateway.post(path, body="", X_Principal="somebody else").status == 200
    assert gateway.post(path, body='{"a client that sends a body": 1}').json == {}
    assert {name: calls(name) for name in PORTS} == dict.fromkeys(PORTS, [f"{path} {me}"] * 2)


def test_a_hung_instance_delays_the_answer_by_less_than_a_second(
    gateway: Client, machine: Host, backends: dict[str, Host]
) -> None:
    backends["backend1"].run_expect([0], "systemctl kill -s STOP instance@7861")
    try:
        began = monotonic()
        assert gateway.post(INTERRUPT, "").status == 200
        assert monotonic() - began < 1.2
    finally:
        backends["backend1"].run_expect([0], "systemctl kill -s CONT instance@7861")
    wait_until_all_are_in(machine)


def test_while_the_agent_is_away_one_instance_answers(gateway: Client, machine: Host) -> None:
    machine.run_expect([0], "systemctl stop z-image-turbo-gateway")
    try:
        assert gateway.get(PROGRESS).status == 200
        assert gateway.post(INTERRUPT, "").status == 200
    finally:
        machine.run_expect([0], "systemctl start z-image-turbo-gateway")
    wait_until_all_are_in(machine)


def test_with_all_instances_down_the_caller_is_told_to_wait(
    gateway: Client, stopped: Callable[[str], None]
) -> None:
    for name in PORTS:
        stopped(name)
    answer = gateway.get(PROGRESS + "?another=question")
    assert answer.status == 503
    assert answer.headers.get_all("Retry-After") == ["5"]
    assert answer.json.keys() == {"error", "detail", "body", "errors"}
