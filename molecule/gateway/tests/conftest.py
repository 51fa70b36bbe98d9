"""The gateway and the instances behind it, as the tests reach them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPMessage
from itertools import count
from pathlib import Path
from threading import Event
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

    def call(self, method: str, path: str, **headers: str) -> Answer:
        """Send a request of another method."""
        return self._send(method, path, None, headers)

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


def set_mood(name: str, mood: str) -> None:
    """Have an instance behave in a certain way from now on."""
    instance(name).post("/stub/mood", json.dumps(mood))


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until `condition` is true; fail when it is not in time."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not come true in time"
        sleep(0.1)


def runs_of(request_id: str) -> list[str]:
    """Return the instances that have seen a request, one entry for each time."""
    return [
        name for name in PORTS for seen in instance(name).get("/stub/").json["seen"] if seen == request_id
    ]


def start_play(*arguments: str, host: str = GATEWAY) -> subprocess.Popen[str]:
    """Start a run of the role on a gateway, in a process group of its own."""
    playbook = str(SCENARIO / "converge.yml")
    return subprocess.Popen(
        ["ansible-playbook", "-i", "molecule/shared/inventory", playbook, f"--limit={host}", *arguments],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(*arguments: str, host: str = GATEWAY) -> tuple[int, str]:
    """Run the role on a gateway once more; return its exit status and what it said."""
    with start_play(*arguments, host=host) as run:
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


# In one go: each command in a container takes a while.
RELOAD = """
workers() { pgrep -f 'nginx: worker process$'; }
before=$(workers)
systemctl reload nginx || exit 1
for _ in $(seq 200); do
    now=$(workers) && ! echo "$now" | grep -qxF "$before" && exit 0
    sleep 0.1
done
exit 1
"""
ALL_IN = """
for _ in $(seq 300); do
    grep '"applied": true' /run/z-image-turbo-gateway/status.json |
        grep -qvE '"level": "(no_new|moved|out)"' && exit 0
    sleep 0.1
done
exit 1
"""


def reload(machine: Host) -> None:
    """Reload Nginx, and wait until only new workers take connections."""
    machine.run_expect([0], RELOAD)


def states(machine: Host) -> dict[str, str]:
    """Return what the agent thinks of every instance, once Nginx has followed it."""
    agent = json.loads(machine.run("z-image-turbo-gateway status --json").stdout)["agent"]
    if not agent or not agent["applied"]:
        return {}
    return {name: row["level"] for name, row in agent["instances"].items()}


def wait_until_all_are_in(machine: Host) -> None:
    """Wait until the gateway uses every instance."""
    machine.run_expect([0], ALL_IN)


@pytest.fixture
def gateway(machine: Host) -> Client:
    """Return a gateway which holds nothing against any instance."""
    machine.run_expect([0], f"({ALL_IN}) && ({RELOAD})")
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


@contextmanager
def users(gateway: Client, count: int = 4) -> Iterator[list[Answer]]:
    """Have users ask for one picture after the other."""
    answers: list[Answer] = []
    done = Event()

    def ask() -> None:
        while not done.is_set() and len(answers) < 20000:
            answers.append(gateway.post())

    with ThreadPoolExecutor(count) as pool:
        asking = [pool.submit(ask) for _ in range(count)]
        try:
            wait_until(lambda: len(answers) > count)
            yield answers
        finally:
            done.set()
    for one in asking:
        one.result()


class Visitor(Client):
    """A client of the guarded gateway with an address of its own; the machine of the tests is its proxy."""

    def __init__(self, address: str) -> None:
        """Keep the address that the gateway takes the client to have."""
        super().__init__(lab.address("guarded1"))
        self.own_address = address

    def raw(self, request: bytes, seconds: float = 10) -> bytes:
        """Send bytes as they are; return all that comes back until the gateway hangs up."""
        found = b""
        with socket.create_connection((self.address, self.port), timeout=seconds) as connection:
            connection.sendall(request)
            with suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    found += part
        return found

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        return super()._send(method, path, body, {"X_Forwarded_For": self.own_address, **headers})


@pytest.fixture(scope="session")
def new_visitor() -> Callable[[], Visitor]:
    """Return a function that makes a client of the guarded gateway whom no limit has counted yet."""
    first = int(uuid.uuid4()) % 2**15  # another one than in the last run
    addresses = (
        f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}" for number in count(first * 2)
    )
    return lambda: Visitor(next(addresses))


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """Return a client of the guarded gateway whom no limit has counted yet."""
    return new_visitor()


@pytest.fixture(scope="session")
def guarded() -> Host:
    """Return the machine of the gateway with users."""
    return testinfra.get_host(lab.hosts("gateway_guarded")[0])
