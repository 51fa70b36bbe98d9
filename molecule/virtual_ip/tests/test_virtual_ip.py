"""An address that moves to a gateway which answers, and stays there."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPMessage
from typing import TYPE_CHECKING, Any

import lab
import pytest
import testinfra
from faults import FAULTS, Fault, holder, holders, run
from outage import Prober

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

VIRTUAL_IP = f"{lab.NETWORK}.36"
VIRTUAL_IPV6 = f"fd00:{89 + lab.LAB}::36"
HOSTS: dict[str, Host] = dict(
    zip(lab.names("virtual_ip"), map(testinfra.get_host, lab.hosts("virtual_ip")), strict=True)
)
CONVERGE = "molecule/virtual_ip/converge.yml"
# Seconds without an answer. A calm machine has below 2, see benchmarks/virtual_ip; tests run on busy ones.
OUTAGE = 8
CONFIG = "/etc/keepalived/keepalived.conf"
CHECK = "/usr/local/libexec/z-image-turbo-gateway-answers"


def active() -> str:
    """Return the gateway that has the address, once it is one alone."""
    return holder(VIRTUAL_IP)


def other(host: str) -> str:
    """Return the other gateway."""
    (name,) = set(HOSTS) - {host}
    return name


def waits(host: str) -> bool:
    """Tell whether a gateway is ready to take the address over: Keepalived found its Nginx answering."""
    states = HOSTS[host].run(
        "rm -f /tmp/keepalived.data && pkill -USR1 -o -x keepalived && sleep 0.3 && cat /tmp/keepalived.data"
    )
    return "State = BACKUP" in states.stdout


def ask(path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[HTTPMessage, Any]:
    """Ask the service at its virtual IP; return headers and content of the answer."""
    connection = HTTPConnection(VIRTUAL_IP, 80, timeout=10)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    assert response.status == 200
    return response.headers, content


@pytest.fixture
def struck() -> Iterator[list[tuple[Fault, str]]]:
    """Take what was done to gateways, and make it good after the test."""
    done: list[tuple[Fault, str]] = []
    yield done
    for fault, host in done:
        run(fault.repair, host)
    for host in HOSTS.values():
        lab.wait_until(lambda host=host: host.run("curl -sf --max-time 2 http://127.0.0.1/healthz").rc == 0)
    active()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_address_moves_in_seconds(fault: Fault, struck: list[tuple[Fault, str]]) -> None:
    host = active()
    lab.wait_until(lambda: waits(other(host)))
    with Prober(VIRTUAL_IP) as prober:
        prober.settle(0.5)
        struck.append((fault, host))
        run(fault.strike, host)
        prober.settle(2)
    assert prober.answers().outage < OUTAGE


def test_a_gateway_that_returns_leaves_the_address_where_it_is(struck: list[tuple[Fault, str]]) -> None:
    host = active()
    struck.append((FAULTS[0], host))
    run(FAULTS[0].strike, host)
    lab.wait_until(lambda: holders(VIRTUAL_IP) == [other(host)])
    with Prober(VIRTUAL_IP) as prober:
        run(FAULTS[0].repair, host)
        prober.settle(4)
    assert prober.answers().outage < 0.5
    assert holders(VIRTUAL_IP) == [other(host)]


def test_with_no_gateway_that_answers_the_address_stays_and_then_is_at_the_first_that_does(
    struck: list[tuple[Fault, str]],
) -> None:
    host = active()
    stop_nginx = FAULTS[0]
    for each in (other(host), host):
        struck.append((stop_nginx, each))
        run(stop_nginx.strike, each)
    with pytest.raises(ConnectionRefusedError):
        ask("/healthz")
    time.sleep(3)  # three checks, none of which may take it away
    assert holders(VIRTUAL_IP) == [host]
    run(stop_nginx.repair, other(host))
    lab.wait_until(lambda: holders(VIRTUAL_IP) == [other(host)])
    assert ask("/healthz")[1] == b"ok\n"


def test_the_ipv6_address_moves_along(struck: list[tuple[Fault, str]]) -> None:
    host = active()
    assert holders(VIRTUAL_IPV6) == [host]
    struck.append((FAULTS[0], host))
    run(FAULTS[0].strike, host)
    lab.wait_until(lambda: holders(VIRTUAL_IPV6) == [other(host)])
    assert HOSTS[other(host)].run(f"curl -sfg --max-time 5 http://[{VIRTUAL_IPV6}]/healthz").stdout == "ok\n"


def test_a_session_goes_on_at_the_other_gateway(struck: list[tuple[Fault, str]]) -> None:
    headers, _ = ask("/")
    cookie = headers["Set-Cookie"].partition(";")[0]
    _, joined = ask("/gradio_api/queue/join", "POST", '{"session_hash": "moved"}', Cookie=cookie)
    host = active()
    struck.append((FAULTS[0], host))
    run(FAULTS[0].strike, host)
    lab.wait_until(lambda: holders(VIRTUAL_IP) == [other(host)])
    _, events = ask("/gradio_api/queue/data?session_hash=moved", Cookie=cookie)
    messages = [json.loads(line[6:]) for line in events.splitlines() if line.startswith(b"data: ")]
    assert [message["number"] for message in messages] == [0, 1, 2, 3]
    assert {message["instance"] for message in messages} == {json.loads(joined)["instance"]}


def test_the_check_runs_as_a_user_who_may_nothing(struck: list[tuple[Fault, str]]) -> None:
    del struck
    for host in HOSTS.values():
        assert host.user("keepalived_script").shell == "/usr/sbin/nologin"
        check = host.file(CHECK)
        assert (check.user, check.mode) == ("root", 0o755)


def test_a_wrong_change_is_refused_and_touches_nothing() -> None:
    before = [host.check_output(f"sha256sum {CONFIG} {CHECK}") for host in HOSTS.values()]
    play = lab.play(CONVERGE, "virtual_ip", tags="virtual_ip", virtual_ip_addresses=[f"{lab.NETWORK}.999/24"])
    assert play.rc != 0
    assert f"{lab.NETWORK}.999/24" in play.output
    assert [host.check_output(f"sha256sum {CONFIG} {CHECK}") for host in HOSTS.values()] == before
    assert len(holders(VIRTUAL_IP)) == 1


def test_a_change_whose_run_was_interrupted_is_made_good_by_the_next() -> None:
    host = other(active())
    machine = HOSTS[host]
    machine.run_expect([0], f"sed -i 's/refresh 10/refresh 11/' {CONFIG}")
    read_before = machine.file("/run/keepalived.loaded").content
    play = lab.play(CONVERGE, host, tags="virtual_ip")
    assert play.rc == 0, play.output
    assert machine.file(CONFIG).contains("refresh 10")
    machine.run_expect([0], "echo interrupted >/run/keepalived.loaded")
    play = lab.play(CONVERGE, host, tags="virtual_ip")
    assert (play.rc, play.changed[host]) == (0, 1), play.output
    assert machine.file("/run/keepalived.loaded").content == read_before


def test_without_addresses_the_role_gives_the_virtual_ip_up() -> None:
    host = other(active())
    play = lab.play(CONVERGE, host, tags="virtual_ip", virtual_ip_addresses=[])
    assert play.rc == 0, play.output
    assert not HOSTS[host].service("keepalived").is_running
    assert not HOSTS[host].file(CONFIG).exists
    assert lab.play(CONVERGE, host, tags="virtual_ip").rc == 0
    assert HOSTS[host].service("keepalived").is_running
