"""Notes on which hosts a rehearsal would change something. Plays that go host by host take those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: rehearsal
type: notification
short_description: Notes on which hosts a rehearsal would change something
description:
  - A play with the variable C(rehearsal) runs a role in check mode, on all hosts at once. A host on which
    every task was fine and none would change anything is as it should be.
  - The lookup of the same name has the hosts that are not, for the play which follows.
"""


def file_of(rehearsal: str) -> Path:
    """Return where the notes of a rehearsal are, for as long as this run lasts."""
    return Path(constants.DEFAULT_LOCAL_TMP) / f"rehearsal-{rehearsal}.json"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Takes notes while a rehearsal goes on."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "rehearsal"

    def __init__(self) -> None:
        """No rehearsal yet."""
        super().__init__()
        self._name = ""
        self._fine: dict[str, bool] = {}
        self._check_mode: bool | None = None  # of the run

    def v2_playbook_on_play_start(self, play: Any) -> None:  # noqa: ANN401 - Ansible's own
        """Look whether this is a rehearsal, and have its tasks know that they are in check mode.

        Ansible itself has `ansible_check_mode` tell of the command line alone.
        """
        options = getattr(play.get_variable_manager(), "_options_vars", {})
        self._check_mode = options.get("ansible_check_mode") if self._check_mode is None else self._check_mode
        self._name, self._fine = str(play.vars.get("rehearsal") or ""), {}
        options["ansible_check_mode"] = bool(self._name) or self._check_mode

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: ANN401 - the same
        """Note that a task was fine, or that it would change something."""
        self._note(result, fine=not result.result.get("changed"))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401 - the same
        """Note that a task was not fine."""
        del ignore_errors
        self._note(result, fine=False)

    def v2_runner_on_unreachable(self, result: Any) -> None:  # noqa: ANN401 - the same
        """Note that a host was not there."""
        self._note(result, fine=False)

    def _note(self, result: Any, *, fine: bool) -> None:  # noqa: ANN401 - the same
        if not self._name or not result.task.check_mode:
            return
        host = result.host.get_name()
        before = self._fine.get(host)
        self._fine[host] = before is not False and fine
        if self._fine[host] != before:  # at once: the hosts of the next play are looked up before it starts
            file_of(self._name).write_text(json.dumps([name for name, fine in self._fine.items() if fine]))
