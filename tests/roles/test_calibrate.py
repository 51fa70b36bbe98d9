"""Instances are measured all at once, and one that does not draw is named."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

MEASURE = Path(__file__).parents[2] / "roles" / "calibrate" / "files" / "measure.py"


class Instance(BaseHTTPRequestHandler):
    """Takes 0.2 s for a picture, the first one apart, which takes a second."""

    pictures = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).pictures += 1
        time.sleep(1.0 if type(self).pictures == 1 else 0.2)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Instance)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def measure(**endpoints: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MEASURE, json.dumps(endpoints), "256", "3", "30"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_picture_does_not_count(endpoint: str) -> None:
    done = measure(a=endpoint)
    assert 0.2 <= json.loads(done.stdout)["a"] < 0.9


def test_an_instance_that_does_not_draw_is_named(endpoint: str) -> None:
    done = measure(a=endpoint, b="127.0.0.1:9")
    assert done.returncode != 0
    assert done.stderr.startswith("b at 127.0.0.1:9 did not draw")
