"""The hosts on which a rehearsal would change something, or on which there was none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: rehearsal
short_description: The hosts on which a rehearsal would change something, or on which there was none
description:
  - A pattern of hosts for the play that follows a rehearsal, see the callback of the same name.
options:
  _terms:
    description: The name of the rehearsal.
    required: true
  hosts:
    description: The hosts that it is about.
    type: list
    elements: str
    required: true
"""

EXAMPLES = """
- name: Change those which have to be changed, one after the other
  hosts: "{{ lookup('rehearsal', 'application', hosts=groups['gpu']) }}"
  serial: 1
"""

RETURN = """
_raw:
  description: The names with colons between them; what stands for no host where all are fine.
  type: list
  elements: str
"""

NOBODY = "all:!all"


def pattern(hosts: list[str], fine: list[str]) -> str:
    """Return a pattern for the hosts that are not fine."""
    return ":".join(host for host in hosts if host not in fine) or NOBODY


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup plugin."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:  # noqa: ANN401 - Ansible's own
        """Return a pattern for each rehearsal."""
        del variables
        folder = Path(constants.DEFAULT_LOCAL_TMP)
        notes = [folder / f"rehearsal-{term}.json" for term in terms]
        return [
            pattern(options["hosts"], json.loads(note.read_text()) if note.exists() else []) for note in notes
        ]
