"""The service that the real clients call: one instance with the nano model, or the one that is named."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.process import Instance, until

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache" / "clients"
PROGRAMS = Path(__file__).parent / "programs"
NANO = {"model_path": ROOT / "models" / "nano", "side_default": 256, "side_min": 128, "side_max": 1024}
SECONDS_MAX = 300

# No client shall ask anybody else for anything.
QUIET = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "GRADIO_ANALYTICS_ENABLED": "False"}
os.environ |= QUIET


@dataclass(frozen=True)
class Service:
    """Where the service is, and how to be let in."""

    url: str
    login: tuple[str, str] | None
    key: str | None
    direct: bool  # one instance, and nobody else uses it

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=self.login, timeout=60)


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if url := request.config.getoption("--service-url"):
        login = request.config.getoption("--service-login")
        name, _, password = (login or "").partition(":")
        key = request.config.getoption("--service-key")
        yield Service(url.rstrip("/"), (name, password) if login else None, key, direct=False)
        return
    log = tmp_path_factory.mktemp("service") / "log"
    instance = Instance(sys.executable, log, NANO | {"name": "for-clients", "threads": 1, "queue_max": 3})
    try:
        until(instance.ready, SECONDS_MAX)
        yield Service(instance.url, None, None, direct=True)
    finally:
        instance.kill()


@pytest.fixture(scope="session")
def run(service: Service) -> Callable[..., dict[str, Any]]:
    """Run a client's program in the client's own environment and return what it says it saw."""

    def start(program: str, environment: str | None = None) -> dict[str, Any]:
        if program.endswith(".mjs"):
            command, folder = ["node", "--input-type=module"], ENVIRONMENTS / "node"
        else:
            python = ENVIRONMENTS / environment / "bin" / "python" if environment else Path(sys.executable)
            command, folder = [str(python), "-"], PROGRAMS
        assert Path(folder).is_dir(), "the clients are not installed; run: scripts/bootstrap test"
        ended = subprocess.run(
            command,
            input=(PROGRAMS / program).read_text(encoding="utf-8"),
            env=os.environ | _described(service),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        seen: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return seen

    return start


def _described(service: Service) -> dict[str, str]:
    name, password = service.login or ("", "")
    return {
        "SERVICE_URL": service.url,
        "SERVICE_KEY": service.key or "none",
        "SERVICE_NAME": name,
        "SERVICE_PASSWORD": password,
        "SERVICE_DIRECT": "yes" if service.direct else "",
    }


@pytest.fixture
def later() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as callers:
        yield callers.submit
