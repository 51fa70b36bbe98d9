"""Ansible module: removes old versions from a folder of versions, and never one that is in use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENTATION = r"""
module: prune_versions
short_description: Removes old versions from a folder of versions, and never one that is in use
description:
  - A version is a folder in O(path) whose name does not begin with a dot. It is as old as its mark.
  - One without the mark was never completed and counts as older than all others.
options:
  path:
    description: The folder of versions. Nothing is done when it is not there.
    type: path
    required: true
  keep:
    description: How many of the newest stay, used or not.
    type: int
    required: true
  mark:
    description: The file in a version that tells that it is complete.
    type: str
    default: .complete
  named_in:
    description:
      - Files, or patterns of files, that name versions by their paths; those stay.
      - The target of a link in O(path), and what a running program has on its command line, stay as well.
    type: list
    elements: str
    default: []
"""


def prune(path: Path, keep: int, mark: str, texts: Iterable[str], *, check: bool = False) -> list[str]:
    """Remove the old versions in a folder that no link there and none of the texts names; return their paths.

    Args:
        path: the folder of versions.
        keep: how many of the newest stay.
        mark: the file by which the age of a version counts.
        texts: whatever may name a version in use.
        check: tell what would be removed, and do not.

    """
    if not path.is_dir():
        return []
    folders = [entry for entry in path.iterdir() if entry.is_dir() and entry.name[0] != "."]
    linked = {entry.resolve() for entry in folders if entry.is_symlink()}
    versions = [entry for entry in folders if not entry.is_symlink()]
    versions.sort(key=lambda version: _age(version / mark), reverse=True)
    texts = list(texts)
    removed = [
        version
        for version in versions[max(0, keep) :]
        if version.resolve() not in linked and not any(f"{version}/" in f"{text}/" for text in texts)
    ]
    for version in removed:
        if not check:
            shutil.rmtree(version)
    return sorted(map(str, removed))


def running_programs(processes: Path = Path("/proc")) -> list[str]:
    """Return the command line and the program file of every process."""
    texts = []
    for process in processes.glob("[0-9]*"):
        try:
            texts.append((process / "cmdline").read_bytes().replace(b"\0", b"/ ").decode(errors="replace"))
            texts.append(str((process / "exe").readlink()))
        except OSError:  # it has ended, or it belongs to the kernel
            continue
    return texts


def files_named(patterns: Iterable[str]) -> list[str]:
    """Return the text of every file that one of the patterns, absolute paths, names."""
    return [
        found.read_text(errors="replace")
        for pattern in patterns
        for found in Path("/").glob(pattern.lstrip("/"))
        if found.is_file()
    ]


def _age(mark: Path) -> float:
    return mark.stat().st_mtime if mark.exists() else 0.0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "keep": {"type": "int", "required": True},
            "mark": {"type": "str", "default": ".complete"},
            "named_in": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    removed = prune(
        Path(module.params["path"]),
        module.params["keep"],
        module.params["mark"],
        [*files_named(module.params["named_in"]), *running_programs()],
        check=module.check_mode,
    )
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
