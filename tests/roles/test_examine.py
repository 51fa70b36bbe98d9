"""What the doctor asks a host is answered in time, whatever is the matter there."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles" / "doctor" / "files" / "examine.py"
NOTHING = {
    "asked": 0,
    "instances": [],
    "gpus": 0,
    "gateway": False,
    "certificate": {},
    "folders": ["/", "/nonexistent"],
    "units": [],
    "links": {},
    "programs_file": "/nonexistent",
}


def load() -> Any:
    spec = importlib.util.spec_from_file_location("examine", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


examine = load()


def test_a_bare_host_answers_with_what_there_is() -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM], input=json.dumps(NOTHING), capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert abs(told["time"] - time.time()) < 60
    assert told["disks"]["/"]["size"] > told["disks"]["/"]["free"] > 0
    assert told["memory"]["size"] > told["memory"]["available"] > 0
    assert (told["programs"], told["agent"], told["health"], told["lock"]) == ({}, None, None, None)


def test_a_question_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "SECONDS", 0.2)
    began = time.monotonic()
    assert examine.ask("sleep", "60") == (124, "sleep did not answer in 0 s")
    assert time.monotonic() - began < 10


def test_who_listens_on_a_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "pytest" in examine.ports()[server.getsockname()[1]]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"status": "ready", "release": "r1"}', {"http": 200, "status": "ready", "release": "r1"}),
        (b"<html>", {"error": "HTTP 200, and what it says is not that of an instance"}),
    ],
)
def test_an_instance_is_asked_and_what_is_none_is_told(body: bytes, told: dict[str, Any]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        answer = examine.ready({"endpoint": f"127.0.0.1:{server.server_port}"})
    answer.pop("seconds", None)
    assert answer == told


def test_an_instance_that_is_not_there_is_told_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in examine.ready({"endpoint": f"127.0.0.1:{port}"})["error"]


def test_the_end_of_a_certificate_is_told(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=x"]
    command += ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run(command, check=True, capture_output=True)
    told = examine.certificates({"folder": str(tmp_path), "served_at": "127.0.0.1:1", "name": ""})
    assert abs(told["disk"] - time.time() - 3 * 86400) < 120
    assert "refused" in told["served_error"]


def test_the_health_checks_figures_and_events_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "figures").write_text(
        "# HELP x y\n"
        'z_image_turbo_health_state{instance="gpu1-a",state="stuck"} 1\n'
        "z_image_turbo_health_last_run_timestamp_seconds 1.7e+09\n"
    )
    (tmp_path / "log").write_text('half a line}\n{"time": "2026-01-02T03:04:05Z", "instance": "gpu1-a"}\n')
    monkeypatch.setattr(examine, "HEALTH_FIGURES", tmp_path / "figures")
    monkeypatch.setattr(examine, "HEALTH_LOG", tmp_path / "log")
    assert examine.health() == {
        "figures": [
            {"name": "state", "instance": "gpu1-a", "state": "stuck", "value": 1.0},
            {"name": "last_run_timestamp_seconds", "value": 1.7e9},
        ],
        "events": [{"time": "2026-01-02T03:04:05Z", "instance": "gpu1-a"}],
    }
