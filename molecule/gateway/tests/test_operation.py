"""Change and failure of the gateway itself."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from conftest import Client, play, reload, start_play, users, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

CONFIG = "/etc/nginx/nginx.conf"


@pytest.fixture
def put_right() -> Iterator[None]:
    """Have the role put the gateway right after the test."""
    yield
    status, said = play()
    assert status == 0, said


def running(gateway: Client) -> str:
    """Return the revision of the configuration that runs."""
    (revision,) = gateway.get("/healthz").headers.get_all("X-Gateway-Config")
    return revision


def test_reloads_lose_no_request(gateway: Client, machine: Host) -> None:
    with users(gateway, 6) as answers:
        for _ in range(5):
            before = len(answers)
            reload(machine)
            wait_until(lambda before=before: len(answers) > before)
    assert {answer.status for answer in answers} == {200}


def test_a_broken_change_names_its_line_and_touches_nothing(gateway: Client, machine: Host) -> None:
    before = machine.file(CONFIG).sha256sum, running(gateway)
    status, said = play("-e", "gateway_fail_timeout=soon")
    assert status != 0
    assert re.search(r'invalid parameter "fail_timeout=soon" in \S+:\d+', said)
    assert (machine.file(CONFIG).sha256sum, running(gateway)) == before
    assert gateway.post().status == 200


@pytest.mark.usefixtures("put_right")
def test_a_run_that_was_interrupted_before_the_reload_is_made_good_by_the_next(
    gateway: Client, machine: Host
) -> None:
    written, before = machine.file(CONFIG).sha256sum, running(gateway)
    change = ("-e", "gateway_retry_after=6")
    with start_play(*change) as run:
        wait_until(lambda: machine.file(CONFIG).sha256sum != written, seconds=60)
        os.killpg(run.pid, signal.SIGKILL)
    assert running(gateway) == before
    status, said = play(*change)
    assert status == 0, said
    assert running(gateway) != before


def test_instances_that_cannot_be_told_apart_are_refused(gateway: Client) -> None:
    same = {"id": "x", "host": "x", "address": "10.0.0.1", "port": 1}
    twice = json.dumps({"gateway_instances": [same, same]})
    status, said = play("-e", twice)
    assert status != 0
    assert "each with an id of its own" in said
    assert gateway.get("/healthz").status == 200


def test_a_killed_nginx_comes_back(gateway: Client, machine: Host) -> None:
    def process() -> str:
        return machine.run("systemctl show nginx --property MainPID --value").stdout.strip()

    before = process()
    machine.run_expect([0], f"kill -9 {before}")
    wait_until(lambda: process() not in (before, "0"))

    def answers() -> bool:
        try:
            return gateway.post().status == 200
        except OSError:
            return False

    wait_until(answers)


def test_nginx_starts_at_boot_and_without_its_default_site(machine: Host) -> None:
    assert machine.service("nginx").is_enabled
    assert not machine.file("/etc/nginx/sites-enabled/default").exists


def test_the_old_configuration_is_kept_beside_the_new_one(machine: Host) -> None:
    assert machine.run(f"ls {CONFIG}.*~").stdout
