"""Closed to all but those who may; never closed to the operator."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import lab
import pytest
import testinfra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

ADDRESS = lab.address("fire1")
HOST, GUEST = (
    testinfra.get_host(lab.hosts("firewall")[0]),
    testinfra.get_host(lab.hosts("firewall_guests")[0]),
)
INSTANCE, OTHER = 7861, 7862
SSH_PORT = 2222
RULES = [{"port": INSTANCE, "from": ["fire2"]}]


def converge(tags: str = "firewall_configure", **variables: object) -> lab.Play:
    """Run what brings rules in, or another part of the role, with extra variables."""
    return lab.play("molecule/firewall/converge.yml", "firewall", tags=tags, **variables)


def stranger_reaches(port: int) -> bool:
    """Tell whether the control node, which may not, gets through."""
    try:
        socket.create_connection((ADDRESS, port), timeout=3).close()
    except OSError:
        return False
    return True


def guest_reaches(port: int, address: str = ADDRESS, host: Host = GUEST) -> bool:
    """Tell whether a host gets through."""
    return host.run(f"curl -s --max-time 3 -o /dev/null http://{address}:{port}/readyz").rc == 0


def drain(connection: socket.socket) -> None:
    """Read one answer, the body of which is a JSON object."""
    answer = b""
    while not answer.endswith(b"}"):
        received = connection.recv(65536)
        assert received, "the connection was cut"
        answer += received
    assert answer.startswith(b"HTTP/1.1 200")


def rules() -> str:
    """Return the rules in force."""
    return HOST.check_output("nft list ruleset")


@pytest.fixture
def put_right() -> Iterator[None]:
    """Have the role put the rules right after the test."""
    yield
    play = converge("firewall")
    assert play.rc == 0, play.output


def test_a_port_is_open_to_those_who_may_and_to_the_host_itself() -> None:
    assert guest_reaches(INSTANCE)
    assert guest_reaches(INSTANCE, "127.0.0.1", HOST)
    assert guest_reaches(OTHER, ADDRESS, HOST)
    assert not stranger_reaches(INSTANCE)
    assert not guest_reaches(OTHER)
    assert not stranger_reaches(OTHER)


def test_a_stranger_is_told_so_at_once() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, INSTANCE), timeout=3)


def test_a_port_in_no_rule_stays_open() -> None:
    assert stranger_reaches(SSH_PORT)


def test_tables_of_others_are_left_alone() -> None:
    HOST.run_expect([0], "nft add table ip somebody_else")
    try:
        changed = converge(firewall_rules=[*RULES, {"port": 9999, "from": []}])
        assert changed.rc == 0, changed.output
        assert "9999" in rules()
        assert "somebody_else" in rules()
        back = converge()
        assert (back.rc, back.changed["fire1"]) == (0, 3), back.output
        assert "9999" not in rules()
    finally:
        HOST.run_expect([0], "nft delete table ip somebody_else")


@pytest.mark.usefixtures("put_right")
def test_connections_that_are_there_survive_a_change() -> None:
    play = converge(firewall_rules=RULES)
    assert play.rc == 0, play.output
    request = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((ADDRESS, OTHER), timeout=10) as connection:
        connection.sendall(request)
        drain(connection)
        play = converge()
        assert play.rc == 0, play.output
        assert not stranger_reaches(OTHER)
        connection.sendall(request)
        drain(connection)


def test_rules_that_nftables_does_not_accept_change_nothing() -> None:
    before = rules()
    play = converge(firewall_rules=[{"port": 7861, "from": ["10.0.0.0/99"]}])
    assert play.rc != 0
    assert "10.0.0.0/99" in play.output
    assert rules() == before


@pytest.mark.parametrize("port", [22, "1-1024", [7861, "20-25"]])
def test_a_rule_that_would_close_ssh_is_refused(port: object) -> None:
    before = rules()
    play = converge(firewall_rules=[{"port": port, "from": ["fire2"]}])
    assert play.rc != 0
    assert "which is SSH's" in play.output
    assert rules() == before


# Ansible comes on a port of which the role does not know.
BY_ANOTHER_PORT = {
    "ansible_ssh_common_args": f"-p {SSH_PORT} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    "ansible_ssh_retries": 0,
}


def test_rules_that_cut_the_operator_off_are_taken_back_by_the_host() -> None:
    before = rules()
    cut = [*RULES, {"name": "A mistake", "port": SSH_PORT, "from": ["fire2"]}]
    play = converge(firewall_rules=cut, firewall_confirm_seconds=8, **BY_ANOTHER_PORT)
    assert play.rc != 0
    assert "the new rules of the firewall are not in force" in " ".join(play.output.split())
    assert rules() == before
    assert stranger_reaches(SSH_PORT)
    harmless = [*RULES, {"port": 9998, "from": ["fire2"]}]
    play = converge(firewall_rules=harmless, **BY_ANOTHER_PORT)
    assert play.rc == 0, play.output
    assert "9998" in rules()
    assert converge().rc == 0


def test_rules_that_nobody_confirms_go_even_when_the_run_is_dead() -> None:
    before = rules()
    candidate = "/etc/z-image-turbo-firewall/candidate.nft"
    kept = HOST.check_output(f"cat {candidate}")
    HOST.run_expect([0], f"sed -i 's/revision_[0-9a-f]*/revision_0/; s/7861/7999/' {candidate}")
    try:
        # In one command: on a busy machine the next one may come after the two seconds.
        assert "7999" in HOST.check_output("z-image-turbo-firewall try 2 && nft list ruleset")
        lab.wait_until(lambda: rules() == before)
        assert HOST.run("z-image-turbo-firewall confirm").rc == 1
        assert rules() == before
    finally:
        HOST.run_expect([0], f"cat >{candidate} <<'END'\n{kept}\nEND")


def test_the_rules_are_there_after_a_restart_of_the_host() -> None:
    subprocess.run([lab.ENGINE, "restart", f"{lab.PROJECT}-fire1"], check=True, capture_output=True)
    lab.wait_until(lambda: guest_reaches(INSTANCE))
    assert not stranger_reaches(INSTANCE)
    assert HOST.run("z-image-turbo-firewall status").rc == 0
    lab.wait_until(lambda: stranger_reaches(22))


@pytest.mark.usefixtures("put_right")
def test_without_rules_nothing_is_left_behind() -> None:
    play = converge(firewall_rules=[])
    assert play.rc == 0, play.output
    assert "z_image_turbo" not in rules()
    assert not HOST.file("/etc/z-image-turbo-firewall").exists
    assert stranger_reaches(OTHER)
    again = converge(firewall_rules=[])
    assert (again.rc, again.changed["fire1"]) == (0, 0), again.output
