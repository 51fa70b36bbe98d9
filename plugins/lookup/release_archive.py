"""Pack a folder into one archive whose name is the hash of what is in it."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: release_archive
short_description: Pack a folder into one archive whose name is the hash of what is in it
description:
  - The same files give the same C(id), whenever and by whomever they are packed.
  - The archive lies in Ansible's own temporary folder and is gone after the run.
  - Compiled Python files and hidden files stay out.
options:
  _terms:
    description: The folder to pack.
    required: true
"""

RETURN = """
_raw:
  description: C(id), twelve hexadecimal digits, and C(path) of the archive (tar.gz).
  type: list
  elements: dict
"""


def release_files(folder: Path) -> list[Path]:
    """Return what belongs to a release, relative to the folder and in a fixed order."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in files
        if "__pycache__" not in path.parts and not any(part.startswith(".") for part in path.parts)
    )


def release_id(folder: Path, files: list[Path]) -> str:
    """Return the hash of names, contents and execute bits."""
    digest = hashlib.sha256()
    for name in files:
        path = folder / name
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name.as_posix()}\0{os.access(path, os.X_OK)}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def pack(folder: Path, files: list[Path], archive: Path) -> None:
    """Write the archive; several processes may do so at once."""
    with (
        tempfile.NamedTemporaryFile(dir=archive.parent, delete=False) as partial,
        gzip.GzipFile(fileobj=partial, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name in files:
            tar.add(folder / name, arcname=name.as_posix(), filter=_anonymous)
    Path(partial.name).replace(archive)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Keep owner, time and umask of the control node out of the release."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup plugin."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **_: object
    ) -> list[dict[str, str]]:
        """Return id and path of the archive of each folder."""
        del variables
        return [self._release(Path(term)) for term in terms]

    def _release(self, folder: Path) -> dict[str, str]:
        files = release_files(folder) if folder.is_dir() else []
        if not files:
            raise AnsibleLookupError(f"{folder} is no folder with files in it")
        identity = release_id(folder, files)
        archive = Path(constants.DEFAULT_LOCAL_TMP) / f"release-{identity}.tar.gz"
        if not archive.exists():
            pack(folder, files, archive)
        return {"id": identity, "path": str(archive)}
