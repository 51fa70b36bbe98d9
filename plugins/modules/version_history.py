"""Ansible module: notes on a host which versions it has served with, for the way back."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: version_history
short_description: Notes on a host which versions it has served with, for the way back
description:
  - A version is a dict of names, as of release, environment and model.
  - The file is put in place in one step. So is a copy of the configuration that a version serves with.
options:
  path:
    description: The file, a JSON object.
    type: path
    required: true
  state:
    description:
      - With V(known) nothing is noted.
      - With V(begun) a change to O(version) is about to begin. One to what serves is none.
      - With V(serving) O(version) serves, and no change is under way.
      - With V(abandoned) the change under way was given up.
    type: str
    choices: [known, begun, serving, abandoned]
    default: known
  version:
    description: The version.
    type: dict
  way_back:
    description: Whether O(version) is an earlier one that was gone back to. The order then stays.
    type: bool
    default: false
  keep:
    description: How many versions are noted.
    type: int
    default: 5
  configuration:
    description: The file that O(version) serves with.
    type: path
  copy:
    description: Where its copy goes, for a later change that fails.
    type: path
"""

RETURN = r"""
current:
  description: What serves; empty when nothing is known.
  type: dict
  returned: always
begun:
  description: What a change leads to that is under way, or was interrupted; empty when there is none.
  type: dict
  returned: always
versions:
  description: What has served, the latest at the end, each with C(since), seconds since 1970.
  type: list
  elements: dict
  returned: always
"""

Version = dict[str, str]
History = dict[str, Any]


def read(path: Path) -> History:
    """Return the history in a file; an empty one when there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text())
        return {
            "current": dict(found["current"]),
            "begun": dict(found["begun"]),
            "versions": [dict(entry) for entry in found["versions"]],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"current": {}, "begun": {}, "versions": []}


def begin(history: History, version: Version) -> History:
    """Return the history in which a change to a version is under way."""
    return {**history, "begun": {} if version == history["current"] else version}


def abandon(history: History, now: int) -> History:
    """Return the history in which the change under way was given up: its version was left again."""
    begun, names = history["begun"], [_names(entry) for entry in history["versions"]]
    if not begun or begun in names:
        return {**history, "begun": {}}
    return {**history, "begun": {}, "versions": [*_until_current(history), {**begun, "since": now}]}


def serve(history: History, version: Version, now: int, *, way_back: bool) -> History:
    """Return the history in which a version serves.

    Args:
        history: as `read` returns it.
        version: what serves now.
        now: seconds since 1970.
        way_back: whether it was gone back to. What was left that way is forgotten by the next other change.

    """
    if way_back:
        history = abandon(history, now)
    if history["current"] == version:
        return {**history, "begun": {}}
    versions = history["versions"]
    if not (way_back and version in [_names(entry) for entry in versions]):
        others = [entry for entry in _until_current(history) if _names(entry) != version]
        versions = [*others, {**version, "since": now}]
    return {"current": version, "begun": {}, "versions": versions}


def _until_current(history: History) -> list[dict[str, Any]]:
    """Return the versions without those that were left again."""
    versions: list[dict[str, Any]] = history["versions"]
    names = [_names(entry) for entry in versions]
    return versions[: names.index(history["current"]) + 1] if history["current"] in names else versions


def _names(entry: dict[str, Any]) -> Version:
    return {name: value for name, value in entry.items() if name != "since"}


def write(content: str, path: Path) -> None:
    """Put a file in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["known", "begun", "serving", "abandoned"],
                "default": "known",
            },
            "version": {"type": "dict"},
            "way_back": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 5},
            "configuration": {"type": "path"},
            "copy": {"type": "path"},
        },
        required_if=[
            ("state", "begun", ["version"]),
            ("state", "serving", ["version", "configuration", "copy"]),
        ],
        supports_check_mode=True,
    )
    given = module.params
    path, version = Path(given["path"]), given["version"]
    old = new = read(path)
    texts = {}
    if given["state"] == "begun" and not given["way_back"]:
        new = begin(old, version)
    elif given["state"] == "abandoned":
        new = abandon(old, int(time.time()))
    elif given["state"] == "serving":
        new = serve(old, version, int(time.time()), way_back=given["way_back"])
        if Path(given["configuration"]).exists():  # in check mode it may be yet to come
            texts[Path(given["copy"])] = Path(given["configuration"]).read_text()
    new["versions"] = new["versions"][-given["keep"] :]
    if new != old:
        texts[path] = json.dumps(new, indent=2) + "\n"
    stale = [place for place, text in texts.items() if not place.exists() or place.read_text() != text]
    for place in stale if not module.check_mode else []:
        write(texts[place], place)
    module.exit_json(changed=bool(stale), **new)


if __name__ == "__main__":
    main()
