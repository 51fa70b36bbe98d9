"""Ansible module: removes what a role has made, by patterns, and the folders above that are empty then."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENTATION = r"""
module: remove_paths
short_description: Removes what a role has made, by patterns, and the folders above that are empty then
description:
  - All or nothing is refused - before anything is removed, every path is looked at.
options:
  paths:
    description:
      - Absolute paths, or patterns of them, of files, links and folders. What a link leads to stays.
      - Refused are paths of the system (C(/etc), C(/home/ann), a folder that a Debian package has brought),
        such as an empty variable makes (a C(/) at the end), such with C(..), such that lead elsewhere by a
        link, and what is mounted or has something mounted in it.
    type: list
    elements: str
    required: true
  empty:
    description:
      - Folders that go as well if nothing is left in them, the inner ones first. Those of the system stay,
        and so does what is mounted.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
author:
  - The Z-Image-Turbo HA authors
"""

RETURN = r"""
removed:
  description: The paths that were removed.
  type: list
  elements: str
  returned: always
"""

WILD = "*?["
LEAST_PARTS = 3  # "/", "opt", "name"
OURS = "z-image-turbo"
MOUNTS = Path("/proc/self/mountinfo")
# In these, what lies right below is the system's as well, unless its name says whose it is.
OF_SYSTEM = frozenset(
    {
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "lost+found",
        "media",
        "mnt",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "var",
    }
)
# Folders of Debian's: what is in them may go, they themselves stay.
DEBIANS = frozenset(
    f"/{name}"
    for name in (
        *("etc/apt", "etc/default", "etc/nginx", "etc/supervisor", "etc/systemd", "usr/bin", "usr/lib"),
        *("usr/local", "usr/sbin", "usr/share", "var/cache", "var/lib", "var/log", "var/spool"),
    )
)


class SystemPathError(ValueError):
    """A path that would remove far more than a role has made."""


def is_astray(path: str) -> bool:
    """Tell whether a path is relative, at the top, or leads upwards."""
    parts = Path(path).parts
    return not path.startswith("/") or len(parts) < LEAST_PARTS or ".." in parts


def is_of_system(path: str) -> bool:
    """Tell whether a path is one of the system itself, or may be."""
    parts = Path(path).parts
    if is_astray(path):
        return True
    short = len(parts) == LEAST_PARTS and parts[1] in OF_SYSTEM and OURS not in parts[2]
    # Every file of a folder, or a folder of the system by another name.
    open_ended = parts[-1][0] in "*?" or (parts[-1][0] == "[" and "*" in parts[-1])
    wild = "**" in path or open_ended or any(sign in part for part in parts[:LEAST_PARTS] for sign in WILD)
    return short or wild or path.endswith("/") or str(Path(path)) in DEBIANS


def mount_points(table: Path = MOUNTS) -> set[Path]:
    """Return where something is mounted. The table writes a blank as a backslash and 040."""
    fields = (line.split()[4] for line in table.read_text().splitlines())
    return {Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)) for field in fields}


def is_packaged(folder: Path) -> bool:
    """Tell whether a Debian package has brought a folder."""
    literal = re.sub(r"([*?\[\\])", r"\\\1", str(folder))
    command = ["dpkg-query", "--search", literal]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - no shell


def refusal(path: Path, mounted: Iterable[Path]) -> str:
    """Return why what was found must not be removed; nothing where it may be."""
    # A link at the top, such as /lib, is the administrator's: what is below lies where it should.
    written = Path(*path.parts[:2]).resolve().joinpath(*path.parts[2:])
    real = path.parent.resolve() / path.name
    if real != written:
        return f"{path} leads to {real} by a link: name that, if it is to go"
    if is_of_system(str(real)):
        return f"{path}: no role may remove that"
    if below := sorted(str(point) for point in mounted if point == real or real in point.parents):
        return f"{path}: {', '.join(below)} is mounted: unmount it, or remove by hand what is to go"
    if path.is_dir() and not path.is_symlink() and is_packaged(real):
        return f"{path}: a Debian package has brought it, so no role may remove it"
    return ""


def remove(paths: Iterable[str], empty: Iterable[str], *, check: bool = False) -> list[str]:
    """Remove all that the paths match, then the folders that are empty; return what was removed."""
    paths, empty = list(paths), [folder for folder in empty if not is_of_system_folder(folder)]
    if refused := [path for path in paths if is_of_system(path)]:
        raise SystemPathError(f"{', '.join(map(repr, refused))}: no role may remove that")
    found = sorted({match for path in paths for match in matches(path)})
    mounted = mount_points()
    if reasons := [reason for path in found if (reason := refusal(Path(path), mounted))]:
        raise SystemPathError(f"{'; '.join(reasons)}. Nothing was removed")
    removed = []
    for path in found:
        if not check:
            delete(Path(path))
        removed.append(path)
    for folder in map(Path, empty):
        inside = set(map(str, folder.iterdir())) if folder.is_dir() and not folder.is_symlink() else None
        if inside is not None and inside <= set(removed) and folder.resolve() not in mounted:
            if not check:
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()
            removed.append(str(folder))
    return removed


def is_of_system_folder(folder: str) -> bool:
    """Tell whether a folder stays although it is empty."""
    return is_astray(folder) or str(Path(folder)) in DEBIANS


def matches(path: str) -> list[str]:
    """Return what a path or pattern stands for; a link that leads nowhere is there as well."""
    if any(sign in path for sign in WILD):
        return [str(found) for found in Path("/").glob(path.lstrip("/"))]
    return [str(Path(path))] if Path(path).is_symlink() or Path(path).exists() else []


def delete(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "str", "required": True},
            "empty": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        removed = remove(module.params["paths"], module.params["empty"], check=module.check_mode)
    except (SystemPathError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
