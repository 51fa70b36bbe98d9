"""The agent: who is not well is out of service within ten seconds, and nothing else is touched."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from conftest import (
    PORTS,
    Client,
    play,
    runs_of,
    set_mood,
    states,
    users,
    wait_until,
    wait_until_all_are_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

PROMISED_SECONDS = 10
FLEET = "/etc/nginx/z-image-turbo/fleet.conf"
VICTIM = "backend1-a"


@pytest.fixture(autouse=True)
def well_again(machine: Host) -> Iterator[None]:
    """Put instances and agent right after the test."""
    yield
    for name in PORTS:
        set_mood(name, "well")
    # A new agent forgets who was poisoned.
    machine.run_expect(
        [0], "z-image-turbo-gateway status | grep -q moved && systemctl restart z-image-turbo-gateway; true"
    )


def out(machine: Host, name: str, level: str) -> None:
    """Wait until an instance is out of service, and until Nginx knows."""
    wait_until(lambda: states(machine).get(name) == level)


def tries_at(machine: Host, name: str) -> int:
    """Return how many requests were tried at an instance."""
    endpoint = next(
        line.split()[1]
        for line in machine.file(FLEET).content_string.splitlines()
        if line.strip().startswith("server") and line.endswith(f"# {name}")
    )
    return int(machine.run(f"grep -cF '{endpoint}' /var/log/nginx/access.log").stdout)


def test_a_dead_instance_is_out_and_back_and_nobody_notices(
    gateway: Client, machine: Host, backends: dict[str, Host]
) -> None:
    with users(gateway) as answers:
        backends["backend1"].run_expect([0], "systemctl stop instance@7861")
        try:
            out(machine, VICTIM, "out")
            assert f"# {VICTIM}" in machine.file(FLEET).content_string
        finally:
            backends["backend1"].run_expect([0], "systemctl start instance@7861")
        wait_until_all_are_in(machine)
    assert {answer.status for answer in answers} == {200}


def test_a_hung_instance_is_out(gateway: Client, machine: Host, backends: dict[str, Host]) -> None:
    hung = backends["backend1"].run_expect([0], "systemctl kill -s STOP instance@7861; date +%s")
    try:
        # Until it is out, a file that it is asked for comes from the other instance of its host.
        files = [
            gateway.get("/gradio_api/file=/var/lib/z-image-turbo/files/backend1/a.txt") for _ in range(4)
        ]
        assert {file.status for file in files} == {200}
        wait_until(lambda: states(machine).get(VICTIM) == "out")
        assert machine.file(FLEET).mtime.timestamp() - int(hung.stdout) <= PROMISED_SECONDS
        answers = gateway.pictures(24, 4)
    finally:
        backends["backend1"].run_expect([0], "systemctl kill -s CONT instance@7861")
    assert {answer.status for answer in answers} == {200}
    assert VICTIM not in {answer.instance for answer in answers}


def test_a_poisoned_instance_is_out_and_no_user_sees_its_errors(gateway: Client, machine: Host) -> None:
    set_mood(VICTIM, "poisoned")
    with users(gateway) as answers:
        out(machine, VICTIM, "moved")
        before = tries_at(machine, VICTIM)
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 50)
        after = tries_at(machine, VICTIM)
    assert {answer.status for answer in answers} == {200}
    assert after - before <= 4  # what the workers of before had begun


def test_requests_that_fail_everywhere_take_nobody_out(
    gateway: Client, machine: Host, request_id: str
) -> None:
    for name in PORTS:
        set_mood(name, "poisoned")
    answers = gateway.pictures(40, 4)
    assert {answer.status for answer in answers} == {500}
    gateway.post(X_Request_Id=request_id)
    assert len(runs_of(request_id)) == 2
    assert set(states(machine).values()) == {"in"}


def test_an_instance_that_loads_gets_nothing_new(gateway: Client, machine: Host) -> None:
    set_mood(VICTIM, "loading")
    with users(gateway) as answers:
        out(machine, VICTIM, "no_new")
    set_mood(VICTIM, "well")
    wait_until_all_are_in(machine)
    assert {answer.status for answer in answers} == {200}


def test_while_more_than_half_do_not_answer_all_stays_as_it_was(
    gateway: Client, machine: Host, stopped: Callable[[str], None]
) -> None:
    before = machine.file(FLEET).sha256sum
    for name in PORTS:
        stopped(name)
    wait_until(lambda: gateway.post().status == 503)
    machine.run_expect([0], "sleep 6")  # twice as long as it takes to take one out
    assert machine.file(FLEET).sha256sum == before


def test_an_agent_that_is_killed_comes_back_and_the_dead_instance_stays_out(
    gateway: Client, machine: Host, stopped: Callable[[str], None]
) -> None:
    stopped(VICTIM)
    out(machine, VICTIM, "out")
    before = machine.file(FLEET).sha256sum
    machine.run_expect([0], "systemctl kill -s KILL z-image-turbo-gateway")
    assert {answer.status for answer in gateway.pictures(20, 4)} == {200}
    wait_until(lambda: machine.run("systemctl is-active z-image-turbo-gateway").rc == 0)
    wait_until(lambda: states(machine).get(VICTIM) == "out")
    assert machine.file(FLEET).sha256sum == before


def test_without_the_agent_and_its_files_the_gateway_works_and_starts(gateway: Client, machine: Host) -> None:
    machine.run_expect([0], "systemctl stop z-image-turbo-gateway")
    machine.run_expect([0], "rm -rf /var/lib/z-image-turbo-gateway/*")
    machine.run_expect([0], "systemctl restart nginx")
    assert {answer.status for answer in gateway.pictures(12, 4)} == {200}
    assert gateway.get("/sdapi/v1/progress").status == 200
    machine.run_expect([0], "systemctl start z-image-turbo-gateway")
    wait_until_all_are_in(machine)


def test_a_list_of_servers_that_somebody_broke_is_put_right(gateway: Client, machine: Host) -> None:
    machine.run_expect([0], f"echo 'nonsense {{' > {FLEET}")
    wait_until(lambda: machine.run("nginx -t").rc == 0)
    assert gateway.post().status == 200


def test_instances_that_make_no_sense_change_nothing_and_are_reported(gateway: Client, machine: Host) -> None:
    before = machine.file(FLEET).sha256sum
    source = "/etc/nginx/z-image-turbo/fleet.json"
    machine.run_expect([0], f"cp -a {source} /tmp/fleet.json && echo '{{}}' > {source}")
    try:
        wait_until(
            lambda: "KeyError: 'instances'" in machine.run("z-image-turbo-gateway status").stdout, seconds=10
        )
        assert machine.file(FLEET).sha256sum == before
        assert gateway.post().status == 200
    finally:
        machine.run_expect([0], f"mv /tmp/fleet.json {source}")
    wait_until_all_are_in(machine)


def test_an_instance_less_and_one_more_cost_no_request(gateway: Client, machine: Host) -> None:
    fewer = [
        {"id": name, "host": name[:-2], "address": name[:-2], "port": PORTS[name]} for name in list(PORTS)[1:]
    ]
    with users(gateway) as answers:
        for arguments, count in ((("-e", json.dumps({"gateway_instances": fewer})), 2), ((), 3)):
            status, said = play("--limit", "gateway", *arguments)
            assert status == 0, said
            assert len(states(machine)) == count
    assert {answer.status for answer in answers} == {200}


def test_a_drained_instance_gets_nothing_new_and_finishes_what_it_has(gateway: Client, machine: Host) -> None:
    with users(gateway) as answers, ThreadPoolExecutor(3) as pool:
        begun = [pool.submit(gateway.post, X_Behave="all=slow") for _ in range(3)]
        machine.run_expect([0], f"z-image-turbo-gateway drain {VICTIM} --until-idle")
        assert states(machine)[VICTIM] == "no_new"
        drained = len(answers)
        wait_until(lambda: len(answers) > drained + 20)
        late = Counter(answer.instance for answer in answers[drained + 8 :])
        session = gateway.get("/config", Cookie=f"z_image_turbo_instance={VICTIM}")
        machine.run_expect([0], "systemctl restart z-image-turbo-gateway")
        wait_until(lambda: states(machine).get(VICTIM) == "no_new")
        machine.run_expect([0], f"z-image-turbo-gateway undrain {VICTIM}")
        undrained = len(answers)
        wait_until(lambda: VICTIM in {answer.instance for answer in answers[undrained:]})
    assert VICTIM not in late
    assert session.instance == VICTIM, "its own sessions stay until they are idle"
    assert {answer.status for answer in answers} | {one.result().status for one in begun} == {200}


def test_the_sessions_of_a_drained_instance_move_when_they_are_idle(gateway: Client, machine: Host) -> None:
    machine.run_expect([0], f"z-image-turbo-gateway drain {VICTIM}")
    try:
        soon = 'sed -i \'s/"drain_idle": .*,/"drain_idle": 1.0,/\' /etc/nginx/z-image-turbo/fleet.json'
        machine.run_expect([0], f"cp -a /etc/nginx/z-image-turbo/fleet.json /tmp/fleet.json; {soon}")
        out(machine, VICTIM, "moved")
        answer = gateway.get("/config", Cookie=f"z_image_turbo_instance={VICTIM}")
        assert answer.instance == "backend2-a"
    finally:
        machine.run_expect([0], "mv /tmp/fleet.json /etc/nginx/z-image-turbo/fleet.json")
        machine.run_expect([0], f"z-image-turbo-gateway undrain {VICTIM}")


def test_drains_that_leave_too_few_are_refused(gateway: Client, machine: Host) -> None:
    refused = machine.run("z-image-turbo-gateway drain backend1-a backend1-b")
    assert (refused.rc, refused.stderr) == (
        3,
        "Only 1 of 3 instances would be in service; --force does it nevertheless.\n",
    )
    assert machine.run(f"z-image-turbo-gateway drain --force {' '.join(PORTS)}").rc == 3
    unknown = machine.run("z-image-turbo-gateway drain nobody")
    assert (unknown.rc, unknown.stderr[:28]) == (4, "No instance is called nobody")
    assert set(states(machine).values()) == {"in"}
    assert gateway.post().status == 200
