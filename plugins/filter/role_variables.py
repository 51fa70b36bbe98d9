"""Which variables of an inventory begin as a role's do, and no role knows them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

DOCUMENTATION = """
name: variable_errors
short_description: Which variables of an inventory begin as a role's do, and no role knows them
description:
  - A name that begins with the name of a role has to be one of its options. Such a typo would otherwise be a
    variable that nobody reads, and a renamed one would silently be what the role's default is.
  - Values are not looked at, so none is worked out and none is shown.
positional: _input
options:
  _input:
    description: The variables of each host.
    type: list
    elements: dict
    required: true
  roles:
    description: The folder of the roles.
    type: path
    required: true
  renamed:
    description: "What an option was called before: {old: new}."
    type: dict
    default: {}
  own:
    description: Names that are somebody's own.
    type: list
    elements: str
    default: []
author:
  - The Z-Image-Turbo HA authors
"""

EXAMPLES = """
- name: Show the names that no role knows
  ansible.builtin.debug:
    msg: "{{ groups['all'] | map('extract', hostvars) | variable_errors('roles') }}"
"""

RETURN = """
_value:
  description: A sentence for each name.
  type: list
  elements: str
"""

SHOWN = 3  # hosts, of a fleet that all have it
LIKENESS, LIKE_OTHERS = 0.7, 0.85


def options_of(roles: Path) -> dict[str, str]:
    """Return every option of every role, with the role that has it."""
    known: dict[str, str] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        entries = yaml.safe_load(path.read_text())["argument_specs"].values()
        known |= {option: path.parts[-3] for entry in entries for option in entry.get("options") or {}}
    return known


def variable_errors(
    hosts: Iterable[Mapping[str, Any]],
    roles: str,
    renamed: Mapping[str, str] | None = None,
    own: Collection[str] = (),
) -> list[str]:
    """Return a sentence for each name that begins as a role's options do, and is none."""
    folder, renamed = Path(roles), renamed or {}
    names = sorted((path.parent.name for path in folder.glob("*/meta")), key=len, reverse=True)
    known = options_of(folder)
    if not known:
        raise AnsibleFilterError(f"there is no role in {roles}")
    found: dict[str, list[str]] = {}
    for variables in hosts:
        host = str(variables["inventory_hostname"])
        for name in map(str, variables):
            if name not in known and name not in own and _role(name, names):
                found.setdefault(name, []).append(host)
    return [_sentence(name, found[name], _role(name, names), known, renamed) for name in sorted(found)]


def _role(name: str, roles: Iterable[str]) -> str:
    """Return the role that a name begins with, the longest one; empty where there is none."""
    return next((role for role in roles if name.startswith(f"{role}_")), "")


def _sentence(
    name: str, hosts: list[str], role: str, known: Mapping[str, str], renamed: Mapping[str, str]
) -> str:
    """Return what is wrong with a name, and what to do."""
    where = ", ".join(hosts[:SHOWN]) + (f" and {len(hosts) - SHOWN} more" if len(hosts) > SHOWN else "")
    if name in renamed:
        return f"{where}: {name} is called {renamed[name]} now: rename it"
    same_role = {option.removeprefix(role): option for option, owner in known.items() if owner == role}
    alike = difflib.get_close_matches(name.removeprefix(role), same_role, n=1, cutoff=LIKENESS)
    near = [same_role[rest] for rest in alike] or difflib.get_close_matches(
        name, known, n=1, cutoff=LIKE_OTHERS
    )
    advice = f"did you mean {near[0]}?" if near else f"roles/{role}/README.md has those that there are"
    return (
        f"{where}: {name} is no variable of the role {role}: {advice} (one of your own: give it a name that "
        "begins otherwise, or list it in inventory_check_own_variables)"
    )


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"variable_errors": variable_errors}
