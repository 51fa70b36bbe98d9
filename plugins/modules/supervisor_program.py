"""Bring one program of a running supervisord in line with its configuration on disk."""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Fault, ServerProxy

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from supervisor.xmlrpc import SupervisorTransport
except ImportError:
    SupervisorTransport = None

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = """
module: supervisor_program
short_description: Bring one program of a running supervisord in line with its configuration on disk
description:
  - Touches the named program only, once, and only where something differs.
  - C(community.general.supervisorctl) restarts other changed programs as well, even in check mode.
  - What runs is compared with what is on disk, so the next run repairs an interrupted one.
options:
  name:
    description: Name of the program; with I(state=absent) also a pattern such as C(web-*).
    type: str
    required: true
  state:
    description:
      - C(present), the program runs with its configuration on disk. A changed one is restarted.
      - C(restarted), the same, and one that runs as configured is restarted as well.
      - C(compared), changes nothing and tells by C(changed) what C(present) would do. A program that runs as
        configured is waited for until it is ready.
      - C(absent), programs which the configuration no longer has are stopped and removed.
    type: str
    choices: [present, restarted, compared, absent]
    default: present
  ready_url:
    description: Where the program answers 200 once it is ready. Not waited for when empty.
    type: str
    default: ""
  ready_timeout:
    description: Seconds that the program may take to get ready.
    type: int
    default: 600
  socket:
    description: The socket of supervisord.
    type: path
    default: /var/run/supervisor.sock
author:
  - The Z-Image-Turbo HA authors
attributes:
  check_mode:
    support: full
"""

EXAMPLES = """
- name: Run the web program as configured, and wait until it serves
  supervisor_program:
    name: web-a
    ready_url: http://127.0.0.1:8000/readyz
"""

RETURN = """
actions:
  description: What was done, such as C(started web-a).
  type: list
  elements: str
  returned: always
"""

STATES = ["present", "restarted", "compared", "absent"]
RUNNING = ("RUNNING", "STARTING")
GIVEN_UP = ("FATAL", "EXITED", "STOPPED", "UNKNOWN")
POLL_SECONDS = 0.5
PROBE_SECONDS = 5
LOG_TAIL_BYTES = 3000


class NotReadyError(Exception):
    """The program does not get ready; the message ends with the end of its log."""


class Supervisor:
    """A running supervisord, by the calls of its XML-RPC interface."""

    def __init__(self, socket: str) -> None:
        """Connect to a socket."""
        transport = SupervisorTransport(None, None, serverurl=f"unix://{socket}")
        self.rpc: Any = ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def difference(self) -> tuple[list[str], list[str], list[str]]:
        """Return the programs that the configuration on disk adds, changes and removes."""
        ((added, changed, removed),) = self.rpc.reloadConfig()
        return added, changed, removed

    def programs(self) -> list[str]:
        """Return the names of all programs that supervisord knows."""
        return [process["group"] for process in self.rpc.getAllProcessInfo()]

    def state(self, name: str) -> str:
        """Return the state of a program, as RUNNING."""
        return str(self.rpc.getProcessInfo(name)["statename"])

    def start(self, name: str) -> None:
        """Start a program and do not wait."""
        self.rpc.startProcess(name, False)

    def add(self, name: str) -> None:
        """Take a program over from the configuration and start it."""
        self.rpc.addProcessGroup(name)

    def remove(self, name: str) -> None:
        """Stop a program, wait for its end, and forget it."""
        self.rpc.stopProcessGroup(name)
        self.rpc.removeProcessGroup(name)

    def log_tail(self, name: str) -> str:
        """Return the end of a program's log."""
        try:
            return str(self.rpc.tailProcessStdoutLog(name, 0, LOG_TAIL_BYTES)[0])
        except Fault:
            return "(no log)"


@contextlib.contextmanager
def locked(socket: str) -> Iterator[None]:
    """Let one at a time change programs: that of a run which was killed may be at it still."""
    with Path(f"{socket}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def apply_present(supervisor: Supervisor, name: str, *, restart: bool, check: bool) -> list[str]:
    """Run a program with its configuration on disk; return what was done.

    With `restart` one that runs so is restarted as well.
    """
    added, changed, removed = supervisor.difference()
    if name in removed or (name not in added and name not in supervisor.programs()):
        raise NotReadyError(f"no configuration of supervisord has a program {name}")
    if name in added:
        action = f"started {name}"
    elif name in changed or (restart and supervisor.state(name) in RUNNING):
        action = f"restarted {name}"
    elif supervisor.state(name) not in (*RUNNING, "BACKOFF"):
        action = f"started {name} again"
    else:
        return []
    if not check:
        if name not in added and action.startswith("restarted"):
            supervisor.remove(name)
        if name in added or action.startswith("restarted"):
            supervisor.add(name)
        else:
            supervisor.start(name)
    return [action]


def apply_absent(supervisor: Supervisor, pattern: str, *, check: bool) -> list[str]:
    """Remove the programs that match and that no configuration has; return what was done."""
    _, _, removed = supervisor.difference()
    stale = sorted(name for name in removed if fnmatch.fnmatchcase(name, pattern))
    if not check:
        for name in stale:
            supervisor.remove(name)
    return [f"removed {name}" for name in stale]


def wait_until_ready(supervisor: Supervisor, name: str, url: str, timeout: float) -> None:
    """Wait until a program answers 200; give up at once when supervisord has given up."""
    deadline = time.monotonic() + timeout
    answer = ""
    while time.monotonic() < deadline:
        state = supervisor.state(name)
        if state in GIVEN_UP:
            raise NotReadyError(f"{name} is {state}. The end of its log:\n{supervisor.log_tail(name)}")
        answer = probe(url)
        if not answer and state == "RUNNING":
            return
        time.sleep(POLL_SECONDS)
    raise NotReadyError(
        f"{name} is not ready after {timeout:.0f} s ({url}: {answer}). "
        f"The end of its log:\n{supervisor.log_tail(name)}"
    )


def probe(url: str) -> str:
    """Return an empty string if the URL answers 200, else what is wrong."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310 - the operator's URL
            return "" if response.status == HTTPStatus.OK else f"HTTP {response.status}"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {error.read(300).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": STATES, "default": "present"},
            "ready_url": {"type": "str", "default": ""},
            "ready_timeout": {"type": "int", "default": 600},
            "socket": {"type": "path", "default": "/var/run/supervisor.sock"},
        },
        supports_check_mode=True,
    )
    name, state = module.params["name"], module.params["state"]
    check = module.check_mode or state == "compared"
    if module.check_mode and SupervisorTransport is None:
        module.exit_json(changed=True, actions=[f"would start {name}: supervisord is not installed yet"])
    if SupervisorTransport is None:
        module.fail_json(msg=missing_required_lib("supervisor"))
    supervisor = Supervisor(module.params["socket"])
    actions: list[str] = []
    try:
        with locked(module.params["socket"]):
            if state == "absent":
                actions = apply_absent(supervisor, name, check=check)
            else:
                actions = apply_present(supervisor, name, restart=state == "restarted", check=check)
        undone = module.check_mode or (check and actions)
        if state != "absent" and module.params["ready_url"] and not undone:
            wait_until_ready(supervisor, name, module.params["ready_url"], module.params["ready_timeout"])
    except NotReadyError as error:
        if module.check_mode:
            module.exit_json(changed=True, actions=[f"would start {name}: {error}"])
        module.fail_json(msg=str(error), actions=actions)
    except Fault as error:
        module.fail_json(msg=f"supervisord refuses: {error.faultString}", actions=actions)
    except OSError as error:
        module.fail_json(
            msg=f"supervisord does not answer on {module.params['socket']}: {error}", actions=actions
        )
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
