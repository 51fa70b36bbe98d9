"""The check with real processes: a stub instance, and a stand-in for Supervisor that starts it again."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from tests.health.hosts import OPTIONS
from z_image_turbo_health.acting import Check, Paths
from z_image_turbo_health.command import main
from z_image_turbo_health.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

STUB = Path(__file__).parents[2] / "molecule" / "health_check" / "stub" / "app.py"


class Handler(SimpleXMLRPCRequestHandler):
    """Answers on a socket of the file system."""

    rpc_paths = ()
    disable_nagle_algorithm = False

    def address_string(self) -> str:
        return "a socket"


class FakeSupervisor(socketserver.ThreadingMixIn, socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    """Runs one instance, and starts it again when it has ended."""

    daemon_threads = True
    logRequests = False  # noqa: N815 - the handler's word

    def __init__(self, path: Path, port: int) -> None:
        SimpleXMLRPCDispatcher.__init__(self, allow_none=True)
        super().__init__(str(path), Handler)
        self.port, self.log = port, path.parent / "a.log"
        self.state = "RUNNING"
        self.register_function(self.all_process_info, "supervisor.getAllProcessInfo")
        self.register_function(self.start_process, "supervisor.startProcess")
        self.begin()

    def begin(self) -> None:
        self.began = int(time.time())
        self.process = subprocess.Popen(
            [sys.executable, STUB, "--port", str(self.port)],
            env={**os.environ, "ZIMAGE_NAME": "gpu1-a", "ZIMAGE_RELEASE": "r", "ZIMAGE_START_SECONDS": "0"},
            stdout=self.log.open("ab"),
            start_new_session=True,
        )

    def all_process_info(self) -> list[dict[str, Any]]:
        if self.state == "RUNNING" and self.process.poll() is not None:
            self.begin()
        pid = self.process.pid if self.state == "RUNNING" else 0
        told = {"name": "z-image-turbo-a", "statename": self.state, "pid": pid, "now": int(time.time())}
        return [{**told, "start": self.began, "spawnerr": "", "description": "as it is"}]

    def start_process(self, *_: object) -> bool:
        self.state = "RUNNING"
        self.begin()
        return True


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = FakeSupervisor(tmp_path / "supervisor.sock", port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    os.killpg(server.process.pid, signal.SIGKILL)


@pytest.fixture
def paths(tmp_path: Path, supervisor: FakeSupervisor) -> Paths:
    options = {**vars(OPTIONS), "interval": 0.2, "limit": 0.3, "metrics": str(tmp_path / "health.prom")}
    instance = {
        "id": "gpu1-a",
        "program": "z-image-turbo-a",
        "address": "127.0.0.1",
        "port": supervisor.port,
        "log": str(supervisor.log),
        "gpu": None,
    }
    settings = tmp_path / "health.json"
    settings.write_text(json.dumps({"instances": [instance], "options": options}))
    return Paths(settings, tmp_path / "supervisor.sock", tmp_path / "run", tmp_path / "health.log")


def check_until(paths: Paths, state: str, seconds: float = 20) -> Check:
    """Look until the instance is in a state; fail when it does not come to that."""
    check = Check(read_settings(paths.settings), paths)
    deadline = time.monotonic() + seconds
    while check.records["gpu1-a"].condition != state:
        assert time.monotonic() < deadline, check.records
        check.loop(0.3)
    return check


def events(paths: Paths) -> list[str]:
    return [json.loads(line)["event"] for line in paths.log.read_text().splitlines()]


def test_one_that_hangs_is_killed_and_comes_back(paths: Paths, supervisor: FakeSupervisor) -> None:
    check_until(paths, "ready")
    before = supervisor.process.pid
    os.killpg(before, signal.SIGSTOP)
    check_until(paths, "stuck")
    check = check_until(paths, "ready")
    assert supervisor.process.pid != before
    assert check.records["gpu1-a"].totals == {"silent": 1}
    assert "restart" in events(paths)
    assert 'reason="silent"} 1' in Path(check.settings.options.metrics).read_text()


def test_what_supervisor_gave_up_is_started(paths: Paths, supervisor: FakeSupervisor) -> None:
    check_until(paths, "ready")
    supervisor.state = "FATAL"
    os.killpg(supervisor.process.pid, signal.SIGKILL)
    check_until(paths, "dead")
    assert check_until(paths, "ready").records["gpu1-a"].totals == {"dead": 1}


def test_the_command_looks_and_does_nothing(
    paths: Paths, supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    check_until(paths, "ready")
    told = events(paths)
    assert main([], paths) == 0
    os.killpg(supervisor.process.pid, signal.SIGSTOP)
    for _ in range(10):
        main(["--json"], paths)
    assert "ready" in capsys.readouterr().out
    assert events(paths) == told
    assert supervisor.process.poll() is None


def test_a_full_disk_does_not_keep_an_instance_from_being_helped(
    paths: Paths, supervisor: FakeSupervisor
) -> None:
    check_until(paths, "ready")
    full = paths._replace(log=Path("/dev/full"))
    before = supervisor.process.pid
    os.killpg(before, signal.SIGSTOP)
    check_until(full, "stuck")
    check_until(full, "ready")
    assert supervisor.process.pid != before


def test_looks_from_before_a_pause_do_not_count(paths: Paths, supervisor: FakeSupervisor) -> None:
    check = check_until(paths, "ready")
    os.killpg(supervisor.process.pid, signal.SIGSTOP)
    while check.records["gpu1-a"].bad < OPTIONS.fall - 1:
        check.loop(0.1)
    time.sleep(1)  # more than four intervals: the host, or this check, stood still
    check.loop(0.1)
    assert check.records["gpu1-a"].bad == 1
    assert supervisor.process.poll() is None


def test_without_supervisor_it_says_so_and_goes_on(paths: Paths) -> None:
    gone = paths._replace(socket=paths.folder / "nothing.sock")
    check = check_until(gone, "ready")
    assert "z_image_turbo_health_supervisor_up 0" in Path(check.settings.options.metrics).read_text()
    assert "supervisor" in events(gone)
