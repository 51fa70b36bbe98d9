"""Ansible module: removes the Debian packages that were added since a list was made, and no others."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCUMENTATION = r"""
module: added_packages
short_description: Removes the Debian packages that were added since a list was made, and no others
description:
  - Of O(names), those which were not there before are removed with their settings, and after them what came
    with them and nothing needs any more. Packages that were there before, or that somebody else needs, stay.
options:
  before:
    description: The names of the packages that were there before.
    type: list
    elements: str
    required: true
  names:
    description: The names of the packages that may have been added, or patterns of them.
    type: list
    elements: str
    required: true
  keep:
    description: Names of packages that stay.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
author:
  - The Z-Image-Turbo HA authors
"""

RETURN = r"""
removed:
  description: The packages that were removed.
  type: list
  elements: str
  returned: always
needed:
  description: Added packages that stay, since a package which is not of O(names) needs them.
  type: dict
  returned: always
"""

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


# What is merely recommended or suggested by something else is not needed.
STRICTLY = (
    "-o",
    "APT::AutoRemove::RecommendsImportant=false",
    "-o",
    "APT::AutoRemove::SuggestsImportant=false",
)


class PackagesError(RuntimeError):
    """What apt or dpkg says when it does not do what it is told."""


def run(*command: str) -> str:
    """Return what a command of the system says; raise `PackagesError` when it fails."""
    done = subprocess.run(  # noqa: S603 - the names are of dpkg's own list
        command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackagesError(f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def installed(ask: Callable[..., str] = run) -> set[str]:
    """Return the names of all packages of this host, those of which settings alone are left included."""
    listed = ask("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
    return {line.split()[0] for line in listed.splitlines() if line.endswith((" installed", " config-files"))}


def would_remove(arguments: Iterable[str], ask: Callable[..., str] = run) -> set[str]:
    """Return what apt would remove."""
    said = ask("apt-get", "--simulate", *arguments)
    return set(re.findall(r"^(?:Remv|Purg) ([^ :]+)", said, re.MULTILINE))


def plan(
    before: set[str], names: set[str], keep: set[str], ask: Callable[..., str] = run
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the packages to remove, and those that stay with the packages that need them."""
    there = installed(ask)
    ours = {name for name in there if any(fnmatch.fnmatchcase(name, pattern) for pattern in names)}
    added = ours - before - keep
    needed: dict[str, list[str]] = {}
    for name in sorted(added):
        # Settings that are left of a package which is gone are nobody's need.
        others = would_remove(["purge", name], ask) - {name}
        strangers = sorted((others - ours) & manual(ask) | (others & (before | keep)))
        if strangers:
            needed[name] = strangers
    return sorted(added - set(needed)), needed


def manual(ask: Callable[..., str] = run) -> set[str]:
    """Return the packages that somebody asked for by name."""
    return set(ask("apt-mark", "showmanual").split())


def purge(packages: Iterable[str]) -> None:
    """Remove packages with their settings, those that are held as well."""
    packages = sorted(packages)
    if packages:
        run("apt-mark", "unhold", *packages)
        run("apt-get", "purge", "--yes", "--quiet", "--allow-change-held-packages", *packages)


def left_over(before: set[str], keep: set[str]) -> set[str]:
    """Return what nothing needs any more and what was not there before."""
    return would_remove([*STRICTLY, "autoremove"]) - before - keep


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "before": {"type": "list", "elements": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "keep": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    before, names, keep = (set(module.params[key]) for key in ("before", "names", "keep"))
    try:
        removed, needed = plan(before, names, keep)
        # What was orphaned before the removal already is not of the service.
        orphans = left_over(before, keep)
        if not module.check_mode:
            purge(removed)
            while rest := left_over(before, keep) - orphans:
                purge(rest)
                removed += sorted(rest)
    except PackagesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(removed), removed=removed, needed=needed)


if __name__ == "__main__":
    main()
