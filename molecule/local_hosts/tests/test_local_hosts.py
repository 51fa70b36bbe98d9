"""The promises of the role local_hosts: hosts that come back, and nothing touched that is not its own."""

import subprocess
from pathlib import Path

import lab
import pytest

INVENTORY = Path(__file__).resolve().parents[1] / "inventory"
PROJECT = "z-image-turbo-hosts"
HOSTS = [f"{PROJECT}-one", f"{PROJECT}-two"]


def engine(*arguments):
    """Run the container engine and return what it says."""
    done = subprocess.run([lab.ENGINE, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def containers():
    """Return the names of the project's containers, running or not."""
    return sorted(engine("ps", "--all", "--format={{.Names}}", f"--filter=name={PROJECT}-").split())


def play(**variables):
    return lab.play("playbooks/local_hosts.yml", "all", inventory=INVENTORY, **variables)


@pytest.fixture(autouse=True)
def hosts():
    """Make the hosts before a test and remove them after the last line of it, whatever it did."""
    made = play()
    assert made.rc == 0, made.output
    yield
    assert play(local_hosts_state="absent").rc == 0


def test_hosts_have_a_running_systemd_and_know_each_other_by_name():
    assert containers() == HOSTS
    assert engine("exec", HOSTS[0], "systemctl", "is-system-running") == "running"
    assert "10.89.75.12" in engine("exec", HOSTS[0], "getent", "hosts", "two")


def test_a_second_run_changes_nothing():
    assert play().changed == {"one": 0, "two": 0}


def test_a_host_that_was_killed_or_stopped_comes_back_with_its_files():
    for name, end in zip(HOSTS, ["kill", "stop"], strict=True):
        engine("exec", name, "touch", "/root/mine")
        engine(end, name)
    assert play().rc == 0
    for name in HOSTS:
        assert engine("exec", name, "ls", "/root/mine") == "/root/mine"
        assert engine("exec", name, "systemctl", "is-system-running") == "running"


def test_removal_takes_hosts_that_left_the_inventory_and_leaves_the_containers_of_others():
    image = engine("inspect", "--format={{.Image}}", HOSTS[0])
    foreign = f"{PROJECT}-foreign"
    engine("create", "--name", foreign, image, "true")
    engine("create", "--name", f"{PROJECT}-gone", f"--label=z-image-turbo.project={PROJECT}", image, "true")
    try:
        assert play(local_hosts_state="absent").rc == 0
        assert containers() == [foreign]
        assert PROJECT not in engine("network", "ls", "--format={{.Name}}").split()
    finally:
        engine("rm", foreign)


def test_a_container_of_somebody_else_with_the_name_of_a_host_is_refused():
    image = engine("inspect", "--format={{.Image}}", HOSTS[0])
    engine("rm", "--force", HOSTS[1])
    engine("create", "--name", HOSTS[1], image, "true")
    try:
        refused = play()
        assert refused.rc != 0
        assert "this project did not make" in " ".join(refused.output.split())
        assert HOSTS[1] in containers()
    finally:
        engine("rm", HOSTS[1])
