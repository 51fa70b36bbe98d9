"""What runs of this collection keep on a host: who is at work, how it was before, which version it has."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCUMENTATION = r"""
module: deployment
short_description: Begins and ends a run on a host, so that no other run is at work there
description:
  - With O(state=begun) the host is locked for one run, and how it was before the first run is written down.
  - With O(state=ended) the lock is taken away, and the version that the host now has is written down.
  - With O(state=undone) files and services are as they were before the first run, and the record is gone.
  - The action plugin of the same name says who runs, and tells a run that is gone from one that is not.
options:
  state:
    description: What to do.
    type: str
    choices: [begun, ended, undone]
    required: true
  folder:
    description: Where all of it is kept.
    type: path
    required: true
  lock:
    description: Who runs, with an C(id); empty takes no lock.
    type: dict
    default: {}
  replaces:
    description: The C(id) of a lock that is known to be nobody's any more, or C(*) for any.
    type: str
    default: ""
  remember:
    description: Whether to write down how the host is, where that is not written yet.
    type: bool
    default: true
  files:
    description: Files and links that roles replace; what was there first is kept.
    type: list
    elements: path
    default: []
  services:
    description: Units that roles enable and start.
    type: list
    elements: str
    default: []
  traces:
    description: Where one of these is there without a record, the host was set up before records were kept.
    type: list
    elements: path
    default: []
  version:
    description: The version that the host has now. Empty leaves what is written.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
author:
  - The Z-Image-Turbo HA authors
"""

RETURN = r"""
held:
  description: The lock of another run, with its age; empty when the host is free, or locked for this one.
  type: dict
  returned: always
version:
  description: The version that was written down last.
  type: str
  returned: always
"""


class Record:
    """The folder of the record on a host."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet."""
        self.folder = folder
        self.lock_file, self.before_file = folder / "lock.json", folder / "before.json"
        self.version_file, self.originals = folder / "version", folder / "originals"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other modules out for a moment; what lies here survives a reboot."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        with (self.folder / ".guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def holder(self) -> dict[str, Any]:
        """Return who has the lock; a file that makes no sense is nobody's."""
        try:
            found = json.loads(self.lock_file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and "id" in found else {}

    def before(self) -> dict[str, Any]:
        """Return how the host was; nothing where that is not known."""
        try:
            found: dict[str, Any] = json.loads(self.before_file.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def version(self) -> str:
        """Return the version of the last complete run, empty when there was none."""
        return self.version_file.read_text().strip() if self.version_file.exists() else ""

    def write(self, file: Path, text: str) -> None:
        """Replace a file in one step."""
        scratch = file.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(file)

    def take(self, lock: dict[str, Any], replaces: str, now: float) -> dict[str, Any]:
        """Take the lock; where it cannot be taken, return who has it and for how many seconds."""
        holder = self.holder()
        mine = holder.get("id") in (None, lock["id"])
        if not (mine or replaces in ("*", holder["id"])):
            return {**holder, "age": now - float(holder.get("since", now))}
        if not holder or not mine:
            self.write(self.lock_file, json.dumps({**lock, "since": now}) + "\n")
        return {}

    def remember(self, before: dict[str, Any], files: Iterable[Path]) -> None:
        """Write down how the host was, and keep copies of what will be replaced."""
        for file in files:
            if file.is_symlink() or file.is_file():
                kept = self.originals / file.relative_to("/")
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, kept, follow_symlinks=False)
        self.write(self.before_file, json.dumps(before) + "\n")
        self.before_file.chmod(0o600)


def said(*command: str) -> str:
    """Return what a command says, whatever its status."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - ours


def state_of_host(services: Iterable[str], traces: Iterable[str]) -> dict[str, Any]:
    """Return the packages, users and services of this host."""
    installed = said("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
    return {
        "complete": not any(Path(trace).exists() for trace in traces),
        "time": time.time(),
        "packages": sorted(
            {line.split()[0] for line in installed.splitlines() if line.endswith(" installed")}
        ),
        "users": [line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines()],
        "folders": [path for path in ("/etc/ansible", "/etc/ansible/facts.d") if Path(path).exists()],
        "services": {
            name: {
                "enabled": said("systemctl", "is-enabled", name).strip() == "enabled",
                "active": said("systemctl", "is-active", name).strip() == "active",
            }
            for name in services
        },
    }


def begin(record: Record, parameters: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Lock the host and write down how it was; return what the module answers."""
    first = parameters["remember"] and not record.before_file.exists()
    if check:
        return {"changed": first, "held": {}, "version": record.version()}
    with record.alone():
        held: dict[str, Any] = {}
        if lock := parameters["lock"]:
            held = record.take(lock, parameters["replaces"], time.time())
        if first and not held:
            before = state_of_host(parameters["services"], parameters["traces"])
            record.remember(before, map(Path, parameters["files"]))
    return {"changed": first and not held, "held": held, "version": record.version()}


def end(record: Record, parameters: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Take the lock away and write the version down; return what the module answers."""
    version = parameters["version"]
    news = bool(version) and version != record.version()
    if check or not record.folder.is_dir():
        return {"changed": news, "held": {}, "version": record.version()}
    with record.alone():
        holder = record.holder()
        allowed = (parameters["lock"].get("id"), parameters["replaces"])
        if holder and holder["id"] not in allowed and "*" not in allowed:
            return {"changed": False, "held": holder, "version": record.version()}
        record.lock_file.unlink(missing_ok=True)
        if news:
            record.write(record.version_file, version + "\n")
    return {"changed": news, "held": {}, "version": record.version()}


def undo(record: Record, parameters: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Put files and services back and forget the record; return what the module answers."""
    del parameters
    done: list[str] = []
    answer = {"changed": record.before_file.exists(), "held": {}, "version": "", "done": done}
    if check or not record.folder.is_dir():
        return answer
    before = record.before()
    for kept in sorted(record.originals.rglob("*")) if record.originals.is_dir() else []:
        target = Path("/") / kept.relative_to(record.originals)
        if (kept.is_symlink() or kept.is_file()) and target.parent.is_dir():
            target.unlink(missing_ok=True)
            shutil.copy2(kept, target, follow_symlinks=False)
            done.append(f"put {target} back")
    said("systemctl", "daemon-reload")
    for name, state in before.get("services", {}).items():
        if said("systemctl", "list-unit-files", "--no-legend", name):
            said("systemctl", "enable" if state["enabled"] else "disable", name)
            said("systemctl", "restart" if state["active"] else "stop", name)
    for folder in ("/etc/ansible/facts.d", "/etc/ansible"):
        if (
            folder not in before.get("folders", [folder])
            and Path(folder).is_dir()
            and not any(Path(folder).iterdir())
        ):
            Path(folder).rmdir()
    shutil.rmtree(record.folder)
    return answer


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["begun", "ended", "undone"]},
            "folder": {"type": "path", "required": True},
            "lock": {"type": "dict", "default": {}},
            "replaces": {"type": "str", "default": ""},
            "remember": {"type": "bool", "default": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "traces": {"type": "list", "elements": "path", "default": []},
            "version": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    run = {"begun": begin, "ended": end, "undone": undo}[module.params["state"]]
    module.exit_json(**run(Record(Path(module.params["folder"])), module.params, check=module.check_mode))


if __name__ == "__main__":
    main()
