"""The doctor's findings, as a sentence, a table and data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Ansible loads a filter by its file, so the code that plugins share is found by its place.
sys.path.append(str(Path(__file__).parents[2]))

from plugins.plugin_utils.diagnosis import FAULT, Host, Limits, diagnose, summary, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCUMENTATION = """
name: doctor
short_description: What is wrong with a service, by what its hosts told
positional: _input
options:
  _input:
    description: What is expected of each host, and what it told, see C(Host) in plugin_utils/diagnosis.py.
    type: list
    elements: dict
    required: true
  limits:
    description: From where on something is a fault, see C(Limits) there.
    type: dict
    default: {}
author:
  - The Z-Image-Turbo HA authors
"""

EXAMPLES = """
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ (reports | doctor).table }}"
"""

RETURN = """
_value:
  description: C(faults) and C(notes), how many; C(findings); C(summary), a sentence; C(table), its lines.
  type: dict
"""


def doctor(hosts: Iterable[Mapping[str, Any]], limits: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Return what is wrong, see RETURN."""
    looked_at = [Host(**host) for host in hosts]
    findings = diagnose(looked_at, Limits(**(limits or {})))
    faults = sum(found.level == FAULT for found in findings)
    return {
        "faults": faults,
        "notes": len(findings) - faults,
        "findings": [found._asdict() for found in findings],
        "summary": summary(looked_at, findings),
        "table": table(findings),
        "hosts": {host.name: host.report for host in looked_at},
    }


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"doctor": doctor}
