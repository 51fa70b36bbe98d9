"""Frees the hosts that a run has locked when it ends, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: deployment
type: notification
short_description: Frees the hosts that a run has locked, when it ends without having done so
description:
  - A run that succeeds frees its hosts itself. One that fails comes to an end before it can.
  - A run that is killed frees nothing. The next one on the same control node notices that it is gone.
"""

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "unlock.yml"
SECONDS = 120
ASKED = ("ask_pass", "become_ask_pass", "ask_vault_pass")
VALUES = {
    "private_key_file": "--private-key",
    "remote_user": "--user",
    "connection": "--connection",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
    "forks": "--forks",
}
LISTS = {
    "inventory": "--inventory",
    "extra_vars": "--extra-vars",
    "vault_ids": "--vault-id",
    "vault_password_files": "--vault-password-file",
}


def same_options(given: dict[str, Any]) -> list[str]:
    """Return the options by which the run reaches its hosts."""
    options = [f"{option}={given[key]}" for key, option in VALUES.items() if given.get(key)]
    options += [f"{option}={value}" for key, option in LISTS.items() for value in given.get(key) or ()]
    return options + (["--become"] if given.get("become") else [])


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Remembers which hosts are locked."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "deployment"

    def __init__(self) -> None:
        """No host is locked yet."""
        super().__init__()
        self.locked: dict[str, str] = {}

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: ANN401 - Ansible's own, which differs by version
        """Note a host that has been locked or freed."""
        if result.task.action != "deployment":
            return
        host, answer = result.host.get_name(), result.result
        if answer.get("lock") == "taken":
            self.locked[host] = answer["run"]
        elif answer.get("lock") in ("ended", "undone"):
            self.locked.pop(host, None)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401 - the same
        """Note one that was locked and then refused."""
        del ignore_errors
        self.v2_runner_on_ok(result)

    def v2_playbook_on_stats(self, stats: object) -> None:
        """Free the hosts that are locked still."""
        del stats
        given = dict(context.CLIARGS)
        if not self.locked or given.get("check"):
            return
        hosts, run = ",".join(sorted(self.locked)), next(iter(self.locked.values()))
        if any(given.get(option) for option in ASKED):
            self._display.display(
                f"{hosts}: the lock of this run stays, and the next run from here takes it over."
            )
            return
        self.locked.clear()
        done = self._free(given, hosts, run)
        if done.returncode:
            self._display.warning(
                f"The lock of this run could not be taken away everywhere ({hosts}). The next run from here "
                f"takes it over; from elsewhere: ansible-playbook playbooks/unlock.yml. {done.stdout[-600:]}"
            )

    def _free(self, given: dict[str, Any], hosts: str, run: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, sys.argv[0], str(PLAYBOOK), f"--limit={hosts}", *same_options(given)]
        command.append(f"--extra-vars=deployment_run_id={run}")
        try:
            return subprocess.run(  # noqa: S603 - the same program once more
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, f"It took longer than {SECONDS} s.", "")
