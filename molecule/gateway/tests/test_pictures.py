"""Single requests: spread over all instances, and given to another where one is lost or refused."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from conftest import PICTURE, PORTS, Client, runs_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

OPENAI = "/v1/images/generations"


def test_pictures_are_spread_evenly(gateway: Client) -> None:
    answers = gateway.pictures(9, 9, X_Behave="all=slow")
    assert Counter(answer.instance for answer in answers) == dict.fromkeys(PORTS, 3)


@pytest.mark.parametrize("busy", PORTS)
def test_a_busy_instance_gets_fewer_pictures(gateway: Client, busy: str) -> None:
    answers = gateway.pictures(30, 3, X_Behave=f"{busy}=slow")
    assert 1 <= Counter(answer.instance for answer in answers)[busy] <= 5


@pytest.mark.parametrize("lossy", PORTS)
def test_a_picture_that_an_instance_loses_is_made_by_another(
    gateway: Client, lossy: str, request_id: str
) -> None:
    names = [f"{request_id}-{number}" for number in PORTS]
    assert {gateway.post(X_Behave=f"{lossy}=drop", X_Request_Id=name).status for name in names} == {200}
    runs = [runs_of(name) for name in names]
    assert max(map(len, runs)) == 2
    assert all(set(run) - {lossy} for run in runs)


@pytest.mark.parametrize("path", [PICTURE, OPENAI, "/images/generations"])
def test_a_picture_that_kills_its_instance_is_begun_twice_and_no_more(
    gateway: Client, path: str, request_id: str
) -> None:
    answer = gateway.post(path, X_Behave="all=drop", X_Request_Id=request_id)
    assert answer.status == 503
    runs = runs_of(request_id)
    assert len(runs) == len(set(runs)) == 2


@pytest.mark.parametrize("full", PORTS)
def test_a_full_instance_is_passed_by_and_not_taken_for_dead(gateway: Client, full: str) -> None:
    passed_by = gateway.pictures(24, 4, X_Behave=f"{full}=full")
    assert {answer.status for answer in passed_by} == {200}
    assert full not in {answer.instance for answer in passed_by}
    afterwards = gateway.pictures(9, 9, X_Behave="all=slow")
    assert Counter(answer.instance for answer in afterwards)[full] == 3


@pytest.mark.parametrize("behaviour", ["full", "drop"])
def test_a_host_that_leaves_as_a_whole_costs_no_picture(gateway: Client, behaviour: str) -> None:
    leaving = ",".join(f"{one}={behaviour}" for one in PORTS if one.startswith("backend1-"))
    answers = gateway.pictures(24, 4, X_Behave=leaving)
    assert {(answer.status, answer.instance) for answer in answers} == {(200, "backend2-a")}


def test_when_all_are_full_the_answer_is_that_of_an_instance(gateway: Client, request_id: str) -> None:
    for _ in range(10):
        answer = gateway.post(X_Behave="all=full", X_Request_Id=request_id)
        assert answer.status == 503
        assert answer.headers.get_all("Retry-After") == ["17"]
        assert answer.json["full"] in PORTS
        assert answer.headers["X-Served-By"] == answer.json["full"]
    assert len(runs_of(request_id)) == 20
    assert gateway.post().status == 200


def test_other_errors_of_an_instance_pass_untouched(gateway: Client, request_id: str) -> None:
    answer = gateway.post(X_Behave="all=invalid", X_Request_Id=request_id)
    assert answer.status == 422
    assert answer.json["invalid"] in PORTS
    assert len(runs_of(request_id)) == 1


def test_with_instances_down_every_picture_is_made(gateway: Client, stopped: Callable[[str], None]) -> None:
    for name in list(PORTS)[:2]:
        stopped(name)
    answers = gateway.pictures(20, 4)
    assert {answer.status for answer in answers} == {200}
    assert {answer.instance for answer in answers} == {list(PORTS)[2]}


def test_with_all_instances_down_each_api_says_so_in_its_own_words(
    gateway: Client, stopped: Callable[[str], None]
) -> None:
    for name in PORTS:
        stopped(name)
    sdapi, openai, ready = gateway.post(PICTURE), gateway.post(OPENAI), gateway.get("/readyz")
    for answer in (sdapi, openai, ready):
        assert answer.status == 503
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers.get_all("Retry-After") == ["5"]
    assert sdapi.json.keys() == {"error", "detail", "body", "errors"}
    assert openai.json["error"].keys() == {"message", "type", "param", "code"}


def test_service_is_back_as_soon_as_one_instance_is(
    gateway: Client, stopped: Callable[[str], None], backends: dict[str, Host]
) -> None:
    for name in PORTS:
        stopped(name)
    assert {answer.status for answer in gateway.pictures(12, 4)} == {503}
    backends["backend2"].run_expect([0], "systemctl start instance@7861")
    # At once, or after two probes and a reload where the agent had taken just this one out.
    wait_until(lambda: gateway.post().status == 200, seconds=15)
    assert {answer.status for answer in gateway.pictures(12, 4)} == {200}


def test_a_host_that_is_cut_off_costs_no_picture(gateway: Client, backends: dict[str, Host]) -> None:
    cut_off = backends["backend1"]
    cut_off.run_expect([0], "ip link set eth0 down")
    try:
        answers = gateway.pictures(12, 4)
    finally:
        cut_off.run_expect([0], "ip link set eth0 up")
    assert {answer.status for answer in answers} == {200}
    assert {answer.instance for answer in answers} == {"backend2-a"}
