"""Where an inventory names a host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCUMENTATION = """
name: inventory_lines
short_description: Where an inventory names a host
description:
  - Looks into the files of the inventory, those of variables excepted, for lines that begin with the name;
    and for the host's own files of variables.
positional: _input
options:
  _input:
    description: The files and folders of the inventory.
    type: list
    elements: path
    required: true
  host:
    description: The name.
    type: str
    required: true
author:
  - The Z-Image-Turbo HA authors
"""

EXAMPLES = """
- name: Show where the host stands
  ansible.builtin.debug:
    msg: "{{ ansible_inventory_sources | inventory_lines('gpu3.example.org') }}"
"""

RETURN = """
_value:
  description: Such as C(prod/hosts.yml:12 gpu3.example.org:) and C(prod/host_vars/gpu3.example.org.yml).
  type: list
  elements: str
"""

VARIABLES = ("group_vars", "host_vars")


def inventory_lines(sources: Iterable[str], host: str) -> list[str]:
    """Return the lines that name a host, and its files of variables."""
    name = re.compile(rf"\s*(?:- +)?[\"']?{re.escape(host)}[\"']?(?:\s*:.*|\s.*)?$")
    found = []
    for source in map(Path, sources):
        for file in _files(source):
            rows = enumerate(file.read_text(errors="replace").splitlines(), start=1)
            found += [f"{file}:{number} {row.strip()}" for number, row in rows if name.match(row)]
        folder = source if source.is_dir() else source.parent
        own = [folder / "host_vars" / f"{host}{suffix}" for suffix in (".yml", ".yaml", ".json", "")]
        found += [str(path) for path in own if path.exists()]
    return found


def _files(source: Path) -> Iterator[Path]:
    """Yield the files that may name hosts."""
    if source.is_file():
        yield source
    elif source.is_dir():
        inside = (path for path in sorted(source.rglob("*")) if path.is_file())
        yield from (path for path in inside if not set(path.relative_to(source).parts) & set(VARIABLES))


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"inventory_lines": inventory_lines}
