"""What befalls the service while it is used: how each fault begins, and how it is put right."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

PROJECT = "z-image-turbo-demo"
READY_SECONDS = 120
GPU_HOSTS = {"gpu1": "10.89.77.11", "gpu2": "10.89.77.12"}
GATEWAYS = {"gw1": "10.89.77.10", "gw2": "10.89.77.13"}
NAMES = "abcd"
BASE_PORT = 7861
VICTIM = ("gpu2", "b")


def on(host: str, command: str) -> str:
    """Run a shell command on a host and return what it printed."""
    done = subprocess.run(
        ["podman", "exec", f"{PROJECT}-{host}", "sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def podman(verb: str, host: str) -> None:
    """Do something to the container that a host is."""
    subprocess.run(["podman", verb, f"{PROJECT}-{host}"], check=True, capture_output=True)


def wait_until_ready(host: str, name: str) -> None:
    """Return when an instance takes jobs."""
    url = f"http://{GPU_HOSTS[host]}:{BASE_PORT + NAMES.index(name)}/readyz"
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if json.load(answer)["status"] == "ready":
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{host}-{name} was not ready in {READY_SECONDS} s")


def wait_until_all_ready() -> None:
    """Return when every instance takes jobs."""
    for host, name in itertools.product(GPU_HOSTS, NAMES):
        wait_until_ready(host, name)


@dataclass(frozen=True)
class Balancer:
    """What spreads the requests, and how an operator handles it."""

    name: str
    port: int
    reload: str
    drain: str
    undrain: str


OURS = Balancer(
    "gateway",
    80,
    "systemctl reload nginx",
    "z-image-turbo-gateway drain {instance}",
    "z-image-turbo-gateway undrain {instance}",
)
_SET = (
    "for pool in api page; do"
    " echo set server $pool/{instance} state %s | socat - /run/haproxy/admin.sock;"
    " done"
)
PEER = Balancer("HAProxy 2.6", 8088, "systemctl reload haproxy", _SET % "drain", _SET % "ready")


def _nothing(_: Balancer) -> None:
    pass


def _signal(name: str) -> Callable[[Balancer], None]:
    def send(_: Balancer) -> None:
        host, letter = VICTIM
        on(host, f"kill -{name} $(supervisorctl pid z-image-turbo-{letter})")

    return send


def _let_go(_: Balancer) -> None:
    """Wake what was stopped and is still there."""
    host, _name = VICTIM
    on(host, "pkill -CONT -f 'app.py --port' || true")


def _roll(_: Balancer) -> None:
    for host, name in itertools.product(GPU_HOSTS, NAMES):
        on(host, f"supervisorctl restart z-image-turbo-{name}")
        wait_until_ready(host, name)


def _for_gpu1(command: str) -> None:
    for gateway, name in itertools.product(GATEWAYS, NAMES):
        on(gateway, command.format(instance=f"gpu1-{name}"))


def _reload(balancer: Balancer) -> None:
    for _ in range(3):
        for gateway in GATEWAYS:
            on(gateway, balancer.reload)
        time.sleep(6)


@dataclass(frozen=True)
class Fault:
    """Something that happens; `begin` may take its time, and `end` puts right what does not mend itself."""

    name: str
    begin: Callable[[Balancer], None] = _nothing
    end: Callable[[Balancer], None] = _nothing


FAULTS = (
    Fault("calm"),
    Fault("kill -9 of an instance", _signal("KILL")),
    Fault("SIGSTOP of an instance", _signal("STOP"), _let_go),
    Fault("rolling restart of all", _roll),
    Fault(
        "drain of a host",
        lambda balancer: _for_gpu1(balancer.drain),
        lambda balancer: _for_gpu1(balancer.undrain),
    ),
    Fault("three reloads", _reload),
    Fault("power-off of a GPU host", lambda _: podman("kill", "gpu2"), lambda _: podman("start", "gpu2")),
    Fault("death of the active gateway", lambda _: podman("kill", "gw1"), lambda _: podman("start", "gw1")),
)
