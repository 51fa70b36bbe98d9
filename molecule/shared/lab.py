"""Host specifications for testinfra which reach the containers directly.

An `ansible://` specification would start the `ansible` command for every check, ten times slower.
"""

import os
from pathlib import Path

import yaml

INVENTORY = Path(__file__).parent / "inventory"
ENGINE = os.environ.get("ENGINE") or "podman"
PROJECT = "z-image-turbo-test"


def hosts(group: str) -> list[str]:
    """Return the testinfra specification of every host of an inventory group."""
    return [f"{ENGINE}://{PROJECT}-{name}" for name in names(group)]


def names(group: str) -> list[str]:
    """Return the names of the hosts of an inventory group, in order."""
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    return list(inventory["all"]["children"][group]["hosts"])


def address(host: str) -> str:
    """Return the address of a host on the network of the lab."""
    return str(yaml.safe_load((INVENTORY / "host_vars" / f"{host}.yml").read_text())["address"])
