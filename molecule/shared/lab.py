"""The lab that the scenarios share: its hosts, playbooks run on them, waiting for a condition."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import yaml

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Path(__file__).resolve().parent / "inventory"
ENGINE = os.environ.get("ENGINE") or "podman"
PROJECT = "z-image-turbo-test"


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
    return str(yaml.safe_load((INVENTORY / "host_vars" / f"{host}.yml").read_text())["address"])


def play(
    playbook: str,
    limit: str,
    *,
    inventory: Path = INVENTORY,
    tags: str = "all",
    env: dict[str, str] | None = None,
    **variables: object,
) -> Play:
    """Run a playbook on hosts of the lab, with extra variables, and return what came of it."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            playbook,
            f"--inventory={inventory}",
            f"--limit={limit}",
            f"--tags={tags}",
            f"--extra-vars={json.dumps(variables)}",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
    return Play(done.returncode, done.stdout + done.stderr, {host: int(changed) for host, changed in recap})


def wait_until(condition: Callable[[], T], seconds: float = 30) -> T:
    """Return the first true value of a condition; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.2)
    return value
