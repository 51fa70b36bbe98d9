"""The real command in a process of its own."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.app.fakes import WAIT_SECONDS

APP = Path(__file__).parents[2] / "app" / "app.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        threading.Event().wait(0.01)


class Instance:
    """A started `app.py`, its settings given by the environment, its port by the flag."""

    def __init__(self, python: str, log: Path, settings: Mapping[str, object]) -> None:
        self.port = int(str(settings.get("port", 0))) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ZIMAGE_")}
        environment |= {
            f"ZIMAGE_{name.upper()}": str(value) for name, value in settings.items() if name != "port"
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [python, str(APP), "--port", str(self.port)],
                env=environment,
                cwd=log.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._callers = ThreadPoolExecutor(16)

    def get(self, path: str) -> httpx.Response | None:
        """Answer None while nobody listens."""
        try:
            return httpx.get(self.url + path, timeout=20)
        except httpx.TransportError:
            return None

    def status(self, path: str) -> int | None:
        answer = self.get(path)
        return None if answer is None else answer.status_code

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.status("/readyz") == 200

    def jobs(self) -> int:
        return self._progress("job_count")

    def step(self) -> int:
        """Return how many steps of the caller's first job are done."""
        return self._progress("sampling_step")

    def _progress(self, key: str) -> int:
        answer = self.get("/sdapi/v1/progress?skip_current_image=true")
        assert answer is not None
        value: int = answer.json()["state"][key]
        return value

    def generate(self, **request: Any) -> httpx.Response:
        return httpx.post(
            self.url + "/v1/images/generations", json={"prompt": "a cat", **request}, timeout=60
        )

    def generate_later(self, **request: Any) -> Future[httpx.Response]:
        return self._callers.submit(self.generate, **request)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_status(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._callers.shutdown(wait=False, cancel_futures=True)
