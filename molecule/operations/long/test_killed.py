"""Runs that are killed at ten random moments each."""

import random
import re
import time

import lab
import service
from killing import SEED, assert_well, kill_and_repeat, stub

TIMES = 10
LIMIT = "opsgw1,ops1,ops2"


def test_an_upgrade_that_was_killed_at_any_moment_is_finished_by_the_next_run(tmp_path):
    assert kill_and_repeat(tmp_path, TIMES) > TIMES / 2


def test_a_first_install_that_was_killed_at_any_moment_is_finished_by_the_next_run(tmp_path):
    variables = {
        "z_image_turbo_source": stub(tmp_path, "first-install"),
        "pytorch_lock_file": small_lock(tmp_path),
        "pytorch_check": "import sys",
    }
    renew_hosts()
    began = time.monotonic()
    install(variables)
    whole, moments, killed = time.monotonic() - began, random.Random(SEED), 0
    for number in range(TIMES):
        renew_hosts()
        moment = time.monotonic() + moments.uniform(0, whole)
        killed += lab.kill_when(
            lambda moment=moment: time.monotonic() > moment,
            "site.yml",
            inventory=service.INVENTORY,
            **variables,
        )
        install(variables)
        assert_well(number)
    assert killed > TIMES / 2
    nothing_left = install(variables)
    assert set(nothing_left.changed.values()) == {0}, nothing_left.output


def install(variables):
    """Run the whole playbook."""
    play = lab.play("site.yml", "", inventory=service.INVENTORY, **variables)
    assert play.rc == 0, play.output
    return play


def renew_hosts():
    """Replace the hosts by bare ones."""
    for state in ("absent", "present"):
        play = lab.play("playbooks/local_hosts.yml", LIMIT, local_hosts_state=state)
        assert play.rc == 0, play.output


def small_lock(tmp_path):
    """Make a lock file of the installer alone: the stub needs no package."""
    whole = (lab.ROOT / "app/requirements-cpu.txt").read_text()
    (installer,) = re.findall(r"^uv==(?:.*\\\n)*.*\n", whole, re.MULTILINE)
    lock = tmp_path / "requirements.txt"
    lock.write_text(installer)
    return str(lock)
