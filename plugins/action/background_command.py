"""Run a command on a host as a transient unit of systemd, and show how far it is."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DOCUMENTATION = """
module: background_command
short_description: Run a command on a host as a transient unit of systemd, and show how far it is
description:
  - The command outlives a broken connection and an interrupted run. A later run waits for it, and then runs
    its own.
  - |-
    It tells in a file how far it is, C({"state": "running", "text": "..."}), which is shown from time to
    time, and at last C({"state": "done", "result": {...}}) or C({"state": "failed", "text": "..."}).
options:
  unit:
    description: Name of the unit. There is one at a time.
    type: str
    required: true
  state:
    description:
      - With C(finished) run the command and wait for its end.
      - With C(started) run it until it is stopped; one that runs already is stopped first.
      - With C(stopped) stop it if it runs.
    type: str
    choices: [finished, started, stopped]
    default: finished
  argv:
    description: The command and its arguments.
    type: list
    elements: str
  status:
    description: The file in which the command tells how far it is; with I(state=finished).
    type: path
  timeout:
    description: Seconds after which systemd ends the command.
    type: int
    default: 3600
author:
  - The Z-Image-Turbo HA authors
attributes:
  check_mode:
    support: full
"""

EXAMPLES = """
- name: Fetch twenty gigabytes
  background_command:
    unit: fetch
    argv: [/usr/local/bin/fetch, --status, /run/fetch.json]
    status: /run/fetch.json
    timeout: 7200
"""

RETURN = """
result:
  description: What the command told at its end.
  type: dict
  returned: when it has succeeded
"""

POLL_SECONDS = (0.2, 0.5, 1, 2, 3)
SHOW_SECONDS = (2, 5, 10, 20)
ENDED = ("inactive", "failed")


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Starts the unit and follows its status file over the connection of the task."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        outcome: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "unit": {"type": "str", "required": True},
                "state": {
                    "type": "str",
                    "choices": ["finished", "started", "stopped"],
                    "default": "finished",
                },
                "argv": {"type": "list", "elements": "str", "default": []},
                "status": {"type": "path", "default": ""},
                "timeout": {"type": "int", "default": 3600},
            }
        )
        self.unit, self.status = arguments["unit"], arguments["status"]
        self.host = (task_vars or {}).get("inventory_hostname", "")
        if self._task.check_mode:
            return {**outcome, "changed": True, "msg": f"would run {shlex.join(arguments['argv'])}"}
        if arguments["state"] == "stopped":
            return {**outcome, **self.stop()}
        if arguments["state"] == "started":
            self.stop()
            return {**outcome, **self.start(arguments["argv"], arguments["timeout"])}
        if self.active():
            self.follow("waiting for an earlier run: ")
        self.command(f"rm -f {shlex.quote(self.status)}")
        started = self.start(arguments["argv"], arguments["timeout"])
        return {**outcome, **(started if started.get("failed") else self.judge(self.follow()))}

    def start(self, argv: list[str], timeout: int) -> dict[str, Any]:
        """Start the unit."""
        limit = f"--property=RuntimeMaxSec={timeout}"
        done = self.command(f"systemd-run --quiet --unit={self.unit} {limit} -- {shlex.join(argv)}")
        if done["rc"]:
            return {"failed": True, "msg": f"{self.unit} does not start: {done['stderr'] or done['stdout']}"}
        return {"changed": True}

    def stop(self) -> dict[str, Any]:
        """Stop the unit if it runs."""
        running = self.active()
        self.command(f"systemctl stop {self.unit}; systemctl reset-failed {self.unit}")
        return {"changed": running}

    def active(self) -> bool:
        """Tell whether the unit runs."""
        return self.look()[0] not in ENDED

    def look(self) -> tuple[str, str, dict[str, Any]]:
        """Return the state of the unit, how it has ended, and what its command has told last."""
        read = f"; cat {shlex.quote(self.status)}" if self.status else ""
        show = f"systemctl show --property=ActiveState --property=Result {self.unit}"
        lines = self.command(f"{show}{read}")["stdout"].splitlines()
        shown = dict(line.split("=", 1) for line in lines if line.startswith(("ActiveState=", "Result=")))
        told = next((line for line in reversed(lines) if line.startswith("{")), "{}")
        return shown.get("ActiveState", "unknown"), shown.get("Result", ""), json.loads(told)

    def follow(self, prefix: str = "") -> tuple[str, str, dict[str, Any]]:
        """Show what the command tells until it has ended; return what `look` returns."""
        shown, count, turn, text = time.monotonic(), 0, 0, ""
        while True:
            seen = self.look()
            if seen[0] in ENDED:
                return seen
            told = seen[2].get("text", "")
            pause = SHOW_SECONDS[min(count, len(SHOW_SECONDS) - 1)]
            if told != text and time.monotonic() - shown > pause:
                Display().display(f"{self.host}: {prefix}{told}")
                shown, count, text = time.monotonic(), count + 1, told
            time.sleep(POLL_SECONDS[min(turn, len(POLL_SECONDS) - 1)])
            turn += 1

    def judge(self, seen: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
        """Return the outcome of a command that has ended."""
        state, how, told = seen
        if state == "failed":
            self.command(f"systemctl reset-failed {self.unit}")
        if told.get("state") == "done":
            return {"changed": True, "result": told["result"]}
        if told.get("state") == "failed":
            return {"failed": True, "msg": told["text"]}
        return {
            "failed": True,
            "msg": f"{self.host}: {self.unit} was ended ({how}) at: {told.get('text', 'nothing told yet')}. "
            f"journalctl -u {self.unit} on the host has its words. Run again to go on",
        }

    def command(self, line: str) -> dict[str, Any]:
        """Run a line of shell on the host."""
        done: dict[str, Any] = self._low_level_execute_command(line)
        return done
