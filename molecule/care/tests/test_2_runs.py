"""Two runs are never at work on the same hosts at once, and none is kept away by one that is gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import lab
import pytest
from conftest import HOSTS, INVENTORY

LOCK = "/var/lib/z-image-turbo-ha/lock.json"
HOLD = "molecule/care/hold.yml"


def locked(care, host="gpu1"):
    """Return the lock of a host, none where there is none."""
    text = care.on(host, f"cat {LOCK} 2>/dev/null || true")
    return json.loads(text) if text.strip() else None


def holder(care, host):
    """Return the process that has locked a host, none where it is free."""
    return (locked(care, host) or {}).get("process")


@pytest.fixture
def at_work(installed):
    """A run that is at work on all hosts until it is killed."""
    run = subprocess.Popen(
        [Path(sys.executable).with_name("ansible-playbook"), HOLD, f"--inventory={INVENTORY}"],
        cwd=lab.ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(lab.ROOT / "ansible.cfg")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    lab.wait_until(lambda: all(holder(installed, host) == run.pid for host in HOSTS), 180)
    yield run
    with contextlib.suppress(ProcessLookupError):  # a test may have killed it
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_a_second_run_is_refused_at_once_with_who_is_at_work_and_changes_nothing(installed, at_work):
    refused = installed.play("site.yml")
    assert at_work.poll() is None  # it was not waited for
    said = " ".join(refused.output.split())
    assert refused.rc != 0
    assert f"(hold.yml, process {at_work.pid}, for " in said
    assert "Wait for its end." in said
    assert set(refused.changed.values()) == {0}
    assert holder(installed, "gpu1") == at_work.pid


def test_the_lock_of_a_run_that_was_killed_keeps_nobody_away(installed, at_work):
    os.killpg(at_work.pid, signal.SIGKILL)
    at_work.wait()
    assert locked(installed)
    installed.on("gpu1", "touch /tmp/enough")
    done = installed.play(HOLD)
    installed.on("gpu1", "rm /tmp/enough")
    assert done.rc == 0, done.output


def test_a_run_frees_its_hosts_when_it_fails(installed):
    failed = installed.play(HOLD, hold_fails=True)
    assert failed.rc != 0
    assert "The work has failed." in failed.output
    assert [locked(installed, host) for host in HOSTS] == [None] * len(HOSTS)


def test_a_change_that_breaks_something_waits_for_the_operators_word(installed):
    change = {"version": "0.1.0", "what": "Pictures are round now.", "do": "Buy round screens."}
    installed.on("gw1", "echo 0.0.9 >/var/lib/z-image-turbo-ha/version")
    table = {"__deployment_breaking_changes": [change]}
    refused = installed.play(HOLD, hold_fails=True, **table)
    installed.on("gw1", "echo 0.1.0 >/var/lib/z-image-turbo-ha/version")
    said = " ".join(refused.output.split())
    assert "gw1 has version 0.0.9." in said
    assert "Pictures are round now. Buy round screens. Then: -e deployment_accept_breaking=0.1.0" in said
    assert "The work has failed." not in said
    assert locked(installed, "gw1") is None
