"""The gateway and the instances behind it, as the tests reach them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import lab
import pytest
import testinfra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
GATEWAY = lab.names("gateway")[0]
PORTS = {"backend1-a": 7861, "backend1-b": 7862, "backend2-a": 7861}
PICTURE = "/sdapi/v1/txt2img"


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, which has to be JSON."""
        return json.loads(self.body)

    @property
    def instance(self) -> str:
        """The name that the instance itself put into the body."""
        return str(self.json["instance"])


class Client:
    """Sends requests to one address, each on a connection of its own."""

    def __init__(self, address: str, port: int = 80) -> None:
        """Keep where to send them."""
        self.address, self.port = address, port

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET; underscores in the names of headers stand for dashes."""
        return self._send("GET", path, None, headers)

    def post(self, path: str = PICTURE, body: str = "{}", **headers: str) -> Answer:
        """Send a POST."""
        return self._send("POST", path, body, headers)

    def pictures(self, count: int, clients: int, **headers: str) -> list[Answer]:
        """Ask for pictures, several at a time."""
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(lambda _: self.post(**headers), range(count)))

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        connection = HTTPConnection(self.address, self.port, timeout=30)
        dashed = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, dashed)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


def instance(name: str) -> Client:
    """Return a client of an instance itself."""
    return Client(lab.address(name[:-2]), PORTS[name])


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until `condition` is true; fail when it is not in time."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not come true in time"
        sleep(0.1)


def runs_of(request_id: str) -> list[str]:
    """Return the instances that have seen a request, one entry for each time."""
    return [name for name in PORTS for seen in instance(name).get("/stub/seen").json if seen == request_id]


def start_play(*arguments: str) -> subprocess.Popen[str]:
    """Start a run of the role on the gateway, in a process group of its own."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", "molecule/shared/inventory", str(SCENARIO / "converge.yml"), *arguments],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(*arguments: str) -> tuple[int, str]:
    """Run the role on the gateway once more; return its exit status and what it said."""
    with start_play(*arguments) as run:
        said, _ = run.communicate(timeout=300)
    return run.returncode, said


@pytest.fixture(scope="session")
def machine() -> Host:
    """Return the gateway's machine."""
    return testinfra.get_host(lab.hosts("gateway")[0])


@pytest.fixture(scope="session")
def backends() -> dict[str, Host]:
    """Return the machines of the instances."""
    return dict(
        zip(
            lab.names("gateway_backends"), map(testinfra.get_host, lab.hosts("gateway_backends")), strict=True
        )
    )


@pytest.fixture
def request_id() -> str:
    """Return an identifier which no other request has."""
    return f"test-{uuid.uuid4().hex}"


def workers(machine: Host) -> set[str]:
    """Return the processes that take connections."""
    found = machine.run("pgrep -f 'nginx: worker process$'")
    return set(found.stdout.split())


def reload(machine: Host) -> None:
    """Reload Nginx, and wait until only new workers take connections."""
    before = workers(machine)
    machine.run_expect([0], "systemctl reload nginx")
    wait_until(lambda: (now := workers(machine)) and not now & before)


@pytest.fixture
def gateway(machine: Host) -> Client:
    """Return a gateway which holds nothing against any instance."""
    reload(machine)
    return Client(lab.address(GATEWAY))


@pytest.fixture
def stopped(backends: dict[str, Host]) -> Iterator[Callable[[str], None]]:
    """Return a function that stops an instance; it is started again after the test."""
    names: list[str] = []

    def control(verb: str, name: str) -> None:
        backends[name[:-2]].run_expect([0], f"systemctl {verb} instance@{PORTS[name]}")

    def stop(name: str) -> None:
        names.append(name)
        control("stop", name)

    yield stop
    for name in names:
        control("start", name)
    for name in names:
        wait_until(lambda name=name: answers(name))


def answers(name: str) -> bool:
    """Tell whether an instance answers."""
    try:
        return instance(name).get("/readyz").status == 200
    except OSError:
        return False
