"""The Debian packages that roles install, gathered from the roles themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible.errors import AnsibleFilterError
from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateError

if TYPE_CHECKING:
    from collections.abc import Collection

DOCUMENTATION = """
name: debian_packages
short_description: The Debian packages that roles install
description:
  - Reads the tasks of each role for C(ansible.builtin.apt) and returns every name that can come of it,
    whichever way its conditions go.
  - A name that depends on something which neither the defaults nor the variables of the role know is refused,
    so that no package is left out unnoticed.
positional: _input
options:
  _input:
    description: The folder of the roles.
    type: path
    required: true
  left_out:
    description: Roles that do not count.
    type: list
    elements: str
    default: []
author:
  - The Z-Image-Turbo HA authors
"""

EXAMPLES = """
- name: Show what the roles need
  ansible.builtin.debug:
    msg: "{{ 'roles' | debian_packages(left_out=['local_hosts']) }}"
"""

RETURN = """
_value:
  description: The names, sorted.
  type: list
  elements: str
"""

MODULES = ("ansible.builtin.apt", "apt", "ansible.builtin.package", "package")
# Their other uses: an update of the lists, a removal.
REMOVALS = ("absent",)


class UnknownNameError(Exception):
    """A name of the role that is not known."""


def tasks_of(folder: Path) -> list[dict[str, Any]]:
    """Return the tasks of a role, those in blocks included."""
    found: list[dict[str, Any]] = []

    def collect(tasks: Any) -> None:  # noqa: ANN401 - whatever a file holds
        for task in tasks or []:
            found.append(task)
            for part in ("block", "rescue", "always"):
                collect(task.get(part))

    for path in sorted(folder.glob("tasks/**/*.yml")):
        collect(yaml.safe_load(path.read_text()))
    return found


def variables_of(folder: Path) -> dict[str, Any]:
    """Return what a role says about its variables, as it is written."""
    variables: dict[str, Any] = {}
    for name in ("defaults", "vars"):
        for path in sorted(folder.glob(f"{name}/**/*.yml")):
            variables |= yaml.safe_load(path.read_text()) or {}
    return variables


def names_in(value: Any, variables: dict[str, Any]) -> set[str]:  # noqa: ANN401 - whatever a task holds
    """Return every package name that a value can become."""
    if isinstance(value, list):
        return {name for item in value for name in names_in(item, variables)}
    if isinstance(value, dict):
        return {name for item in value.values() for name in names_in(item, variables)}
    text = str(value).strip()
    if "{{" not in text:
        return {text} if text else set()
    if not (text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1):
        raise UnknownNameError(text)
    tree = Environment(autoescape=False).parse(text)  # noqa: S701 - parsed, never rendered
    return names_of_expression(tree, variables)


def names_of_expression(tree: nodes.Node, variables: dict[str, Any]) -> set[str]:
    """Return the constants in the lists of an expression, and what its variables stand for."""
    found: set[str] = set()
    for listed in tree.find_all(nodes.List):
        found |= {item.value for item in listed.items if isinstance(item, nodes.Const)}
    asked = {node.name for test in tree.find_all(nodes.CondExpr) for node in test.test.find_all(nodes.Name)}
    asked |= {test.test.name for test in tree.find_all(nodes.CondExpr) if isinstance(test.test, nodes.Name)}
    for name in {node.name for node in tree.find_all(nodes.Name)} - asked:
        if name not in variables:
            raise UnknownNameError(name)
        found |= names_in(variables[name], variables)
    return found


def debian_packages(roles: str, left_out: Collection[str] = ()) -> list[str]:
    """Return the Debian packages that the roles in a folder can install, sorted."""
    folders = [path.parent for path in sorted(Path(roles).glob("*/tasks"))]
    if not folders:
        raise AnsibleFilterError(f"there is no role in {roles}")
    found: set[str] = set()
    for folder in folders:
        if folder.name in left_out:
            continue
        variables = variables_of(folder)
        for task in tasks_of(folder):
            for module in MODULES:
                arguments = task.get(module)
                if not arguments or arguments.get("state") in REMOVALS:
                    continue
                names = arguments.get("name", arguments.get("pkg", []))
                try:
                    found |= names_in(names, variables)
                except (UnknownNameError, TemplateError) as error:
                    raise AnsibleFilterError(
                        f"{folder.name}: the task {task.get('name')!r} installs {names!r}, and {error} is "
                        f"nothing that the role's defaults or vars know: which package it is cannot be told"
                    ) from error
    return sorted(found)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"debian_packages": debian_packages}
