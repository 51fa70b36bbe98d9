"""The lab that the scenarios share: its hosts, playbooks run on them, waiting for a condition."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import yaml

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Path(__file__).resolve().parent / "inventory"
ENGINE = os.environ.get("ENGINE") or "podman"
LAB = int(os.environ.get("LAB") or 0)  # the same rule as in the inventory: several labs stand side by side
PROJECT = "z-image-turbo-test" + (f"-{LAB}" if LAB else "")
NETWORK = f"10.89.{78 + LAB}"


class Play(NamedTuple):
    """What came of a playbook: exit status, all that it said, and changed tasks by host."""

    rc: int
    output: str
    changed: dict[str, int]


def hosts(group: str) -> list[str]:
    """Return the testinfra specification of every host of an inventory group.

    It reaches a container directly: one by way of Ansible starts the `ansible` command for every check.
    """
    return [f"{ENGINE}://{PROJECT}-{name}" for name in names(group)]


def names(group: str) -> list[str]:
    """Return the names of the hosts of an inventory group, in order."""
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    return list(inventory["all"]["children"][group]["hosts"])


def address(host: str) -> str:
    """Return the address of a host on the network of the lab."""
    written: str = yaml.safe_load((INVENTORY / "host_vars" / f"{host}.yml").read_text())["address"]
    return written.replace("{{ lab_network }}", NETWORK)


def play(
    playbook: str,
    limit: str,
    *,
    inventory: Path = INVENTORY,
    tags: str = "all",
    env: dict[str, str] | None = None,
    **variables: object,
) -> Play:
    """Run a playbook on hosts of the lab, with extra variables, and return what came of it.

    No limit, "", is for a playbook of the control node alone: with one, Ansible takes it for no host.
    """
    options = [*([f"--limit={limit}"] if limit else []), f"--tags={tags}", _extra(variables)]
    return _finish(_start(playbook, inventory, options, env))


def dry_run(playbook: str, *, inventory: Path = INVENTORY, **variables: object) -> Play:
    """Run a playbook in check mode."""
    return _finish(_start(playbook, inventory, ["--check", _extra(variables)]))


def _finish(running: subprocess.Popen[str]) -> Play:
    output, _ = running.communicate()
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
    return Play(running.returncode, output, {host: int(changed) for host, changed in recap})


def kill_when(
    condition: Callable[[], bool], playbook: str, *, inventory: Path = INVENTORY, **variables: object
) -> bool:
    """Run a playbook, and kill it with all its processes when a condition is true.

    Return whether that was before its end.
    """
    with tempfile.TemporaryFile("w+") as output:
        running = _start(playbook, inventory, [_extra(variables)], output=output)
        while running.poll() is None and not condition():
            time.sleep(0.2)
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    return running.wait() == -signal.SIGKILL


def _extra(variables: dict[str, object]) -> str:
    return f"--extra-vars={json.dumps(variables)}"


def _start(
    playbook: str,
    inventory: Path,
    options: list[str],
    env: dict[str, str] | None = None,
    output: IO[str] | int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            playbook,
            f"--inventory={inventory}",
            *options,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            **(env or {}),
        },
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], T], seconds: float = 30) -> T:
    """Return the first true value of a condition; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.2)
    return value
