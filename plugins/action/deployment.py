"""Says who runs, and tells a run on this control node that is gone from one that is at work."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.module_utils.compat.version import LooseVersion
from ansible.plugins.action import ActionBase

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN = ("locking", "lock_seconds", "breaking", "accepted", "run_id")
# A task that has outlived its run may take the lock while that of an earlier one is being replaced.
TAKEOVERS = 3
MACHINE, BOOT, NAMESPACE = "/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"


def control_node() -> dict[str, str]:
    """Return what tells this machine, its present boot, and the processes that can be seen."""
    return {
        "host": socket.gethostname(),
        "machine": _text(MACHINE),
        "boot": _text(BOOT),
        "namespace": str(Path(NAMESPACE).readlink()),
    }


def process_of_run() -> int:
    """Return the process of the run, of which a task is a child; also when that child has outlived it."""
    run = multiprocessing.parent_process()
    return run.pid if run and run.pid else os.getppid()


def this_run(process: int) -> dict[str, Any]:
    """Return who runs: the lock that this run takes."""
    control = control_node()
    started = started_at(process)
    playbooks = " ".join(Path(playbook).name for playbook in context.CLIARGS.get("args") or ())
    return {
        "id": f"{control['host']}-{process}-{started}",
        "control": control,
        "process": process,
        "started": started,
        "user": getpass.getuser(),
        "playbook": playbooks or "ansible",
    }


def is_gone(lock: dict[str, Any], seconds: float) -> bool:
    """Tell whether the run of a lock has ended: by its process, or where that cannot be seen by its age."""
    there, here = lock.get("control") or {}, control_node()
    if any(there.get(key) != here[key] for key in ("host", "machine")):
        return bool(lock.get("age", 0) > seconds)
    if there.get("boot") != here["boot"]:
        return True
    if there.get("namespace") != here["namespace"]:
        return bool(lock.get("age", 0) > seconds)
    return not lock["started"] or bool(started_at(lock["process"]) != lock["started"])


def started_at(process: int) -> int:
    """Return when a process began, in ticks since the boot; 0 when there is none."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def sentence(lock: dict[str, Any], host: str) -> str:
    """Return what keeps this run away from a host, and what to do."""
    minutes = lock.get("age", 0) / 60
    return (
        f"{host}: {lock.get('user')} is at work on it from {lock.get('control', {}).get('host')} "
        f"({lock.get('playbook')}, process {lock.get('process')}, for {minutes:.0f} minutes). Wait for "
        "its end. If that run is certainly gone: -e deployment_lock_override=true. Nothing was changed."
    )


def breaking(changes: Iterable[dict[str, Any]], deployed: str, accepted: str) -> list[dict[str, Any]]:
    """Return the changes between the version that a host has and this one that nobody has said yes to."""
    if not deployed:
        return []
    least = max(LooseVersion(deployed), LooseVersion(accepted or "0"))
    return [change for change in changes if LooseVersion(str(change["version"])) > least]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module of the same name, with arguments of its own.

    `locking`: whether to lock at all; `lock_seconds`: how old a lock has to be to count as forgotten where
    its run cannot be looked at; `breaking`: changes that need a yes, each with `version`, `what` and `do`;
    `accepted`: the version up to which there is one; `run_id`: another run than this one.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it, and again where the lock turns out to be of a run that is gone."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        own = {key: arguments.pop(key, None) for key in OWN}
        lock = {} if own["locking"] is False else this_run(process_of_run())
        if lock and is_gone(lock, 0):
            return result | {"failed": True, "msg": "this run was killed: it takes no lock any more"}
        if own["run_id"]:
            lock["id"] = own["run_id"]
        answer = self._module(arguments, lock, task_vars)
        held = answer.get("held") or {}
        for _ in range(TAKEOVERS):
            if not held or not is_gone(held, float(own["lock_seconds"] or 0)):
                break
            answer = self._module({**arguments, "replaces": held["id"]}, lock, task_vars)
            held = answer.get("held") or {}
        if answer.get("failed") or answer.get("unreachable"):
            return result | answer
        taken = arguments["state"] == "begun" and lock and not held and not self._task.check_mode
        result |= answer | {"run": lock.get("id", ""), "lock": "taken" if taken else arguments["state"]}
        host = task_vars["inventory_hostname"]
        if held:
            return result | {"failed": True, "msg": sentence(held, host)}
        if changes := breaking(own["breaking"] or (), answer["version"], own["accepted"] or ""):
            said = "; ".join(f"{change['version']}: {change['what']} {change['do']}" for change in changes)
            newest = max((str(change["version"]) for change in changes), key=LooseVersion)
            return result | {
                "failed": True,
                "msg": f"{host} has version {answer['version']}. Since then something has changed that needs "
                f"your word. {said} Then: -e deployment_accept_breaking={newest}. Nothing was changed.",
            }
        return result

    def _module(
        self, arguments: dict[str, Any], lock: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="deployment", module_args={**arguments, "lock": lock}, task_vars=task_vars
        )
        return answer
