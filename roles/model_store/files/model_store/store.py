"""The store on disk: what lies where, what is still to come, and how a model becomes complete.

<root>/<name>/<identity>/           a revision; .complete and .origin beside its files
<root>/<name>/.incoming/<sha256>    a verified file; <sha256>.part is one that has begun to come
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .manifest import NAME, File, StoreError, git_sha1_of, identity, parse, render, sha256_of, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPLETE, ORIGIN = ".complete", ".origin"


class Store:
    """The revisions of one model on this host."""

    def __init__(self, root: str, name: str) -> None:
        """Look at nothing yet."""
        self.folder = Path(root) / name
        self.incoming = self.folder / ".incoming"

    def revisions(self) -> list[Path]:
        """Return the complete revisions, the youngest first."""
        marks = [mark for mark in self.folder.glob(f"*/{COMPLETE}") if not mark.parent.is_symlink()]
        return [mark.parent for mark in sorted(marks, key=lambda mark: mark.stat().st_mtime, reverse=True)]

    def find(self, *, name: str = "", origin: str = "") -> Path | None:
        """Return the complete revision that has a name or came from an origin."""
        for revision in self.revisions():
            if revision.name == name or (origin and origin in origins(revision)):
                return revision
        return None

    def blobs(self) -> dict[str, Path]:
        """Return the path of every verified file, by its SHA-256."""
        found = {
            file.sha256: revision / file.path for revision in self.revisions() for file in files_of(revision)
        }
        if self.incoming.is_dir():
            found |= {path.name: path for path in self.incoming.iterdir() if not path.suffix}
        return found

    def part(self, file: File) -> Path:
        """Return where a file is being put together."""
        return self.incoming / f"{file.sha256 or file.git_sha1}.part"

    def accept(self, file: File) -> File:
        """Verify what has come and keep it; return the file with its SHA-256. What is wrong is removed."""
        part = self.part(file)
        sha256 = sha256_of(part)
        found, wanted = (sha256, file.sha256) if file.sha256 else (git_sha1_of(part), file.git_sha1)
        if found != wanted:
            part.unlink()
            raise DamagedError(f"{file.path}: the hash is {found}, but it should be {wanted}")
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.rename(self.incoming / sha256)
        return replace(file, sha256=sha256)

    def reuse(self, files: list[File]) -> list[File]:
        """Take over files that a complete revision has already, as links: they cost no room.

        Return the files, now with the SHA-256 of those which a source knows by git's hash alone.
        """
        have = self.blobs()
        known = [file if file.sha256 else self.recognise(file) for file in files]
        for file in known:
            target, source = self.incoming / file.sha256, have.get(file.sha256)
            if source and file.sha256 and not target.exists() and sha256_of(source) == file.sha256:
                os.link(source, target)
        return known

    def recognise(self, file: File) -> File:
        """Return a file with its SHA-256 if it has come before, or a revision has it at its place."""
        came = [path for path in self.incoming.iterdir() if not path.suffix] if self.incoming.is_dir() else []
        for path in [*came, *(revision / file.path for revision in self.revisions())]:
            if path.is_file() and path.stat().st_size == file.size and git_sha1_of(path) == file.git_sha1:
                return replace(file, sha256=sha256_of(path))
        return file

    def missing(self, files: list[File]) -> list[File]:
        """Return the files that have not come yet."""
        return [file for file in files if not file.sha256 or not (self.incoming / file.sha256).exists()]

    def came(self, files: list[File]) -> int:
        """Return how many bytes of the files are here."""
        total = 0
        for file in files:
            for path in ([self.incoming / file.sha256] if file.sha256 else []) + [self.part(file)]:
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size
        return total

    def check_room(self, files: list[File], reserve: int) -> None:
        """Refuse what the disk cannot hold."""
        missing = self.missing(files)
        needed = sum(file.size or 0 for file in missing) - self.came(missing)
        free = shutil.disk_usage(self.folder).free
        if needed + reserve > free:
            raise StoreError(
                f"{len(missing)} of {len(files)} files are still to come, {size_text(needed)}, and "
                f"{size_text(reserve)} is to stay free (model_store_reserve_mb), but {self.folder} has "
                f"{size_text(free)} free: {size_text(needed + reserve - free)} too little. "
                f"Make room, or set model_store_root to a larger disk"
            )

    def assemble(self, manifest: str, origin: str) -> Path:
        """Make a complete revision of what has come."""
        revision = self.folder / identity(manifest)
        scratch = self.folder / f".{revision.name}"
        shutil.rmtree(scratch, ignore_errors=True)
        for file in parse(manifest):
            path = scratch / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.incoming / file.sha256, path)
            path.chmod(0o644)
        (scratch / NAME).write_text(manifest)
        (scratch / COMPLETE).touch()
        for folder in [scratch, *(path for path in scratch.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        if revision.exists():  # without its mark: what an interrupted copy has left
            shutil.rmtree(revision)
        scratch.rename(revision)
        remember(revision, origin)
        shutil.rmtree(self.incoming)
        return revision

    def prune(self, kept: int, current: str, used_in: list[str]) -> list[str]:
        """Remove all but the youngest revisions; never one that is current or in use. Return their names."""
        in_use = set(self.in_use(used_in)) | {current}
        idle = [revision for revision in self.revisions() if revision.name not in in_use]
        removed = idle[max(kept - len(self.revisions()) + len(idle), 0) :]
        for revision in removed:
            (revision / COMPLETE).unlink()
            shutil.rmtree(revision)
        return [revision.name for revision in removed]

    def in_use(self, used_in: list[str]) -> Iterator[str]:
        """Yield the names of revisions that a configuration file or a running process names."""
        texts = [read(path) for pattern in used_in for path in Path("/").glob(pattern.lstrip("/"))]
        for process in Path("/proc").glob("[0-9]*"):
            texts += [read(process / name) for name in ("cmdline", "environ", "maps")]
        for revision in self.revisions():
            if any(os.fsencode(revision) in text for text in texts):
                yield revision.name


class DamagedError(StoreError):
    """What has come is not what was asked for."""


def read(path: Path) -> bytes:
    """Return what a file holds; nothing if it cannot be read, as that of a process which has just ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def files_of(revision: Path) -> list[File]:
    """Return the files of a complete revision."""
    return parse((revision / NAME).read_text())


def origins(revision: Path) -> list[str]:
    """Return where the files of a revision are known to be the same."""
    try:
        known: list[str] = json.loads((revision / ORIGIN).read_text())
    except (OSError, ValueError):
        return []
    return known


def remember(revision: Path, origin: str) -> None:
    """Note one more place where the files of a revision are the same."""
    known = origins(revision)
    if origin and origin not in known:
        scratch = revision / f"{ORIGIN}.new"
        scratch.write_text(json.dumps([*known, origin]))
        scratch.rename(revision / ORIGIN)


def manifest_of(files: list[File], written: str) -> str:
    """Return the manifest: the source's own, if it names these very files, else one of ours."""
    if written and {(file.path, file.sha256) for file in parse(written)} == {
        (file.path, file.sha256) for file in files
    }:
        return written
    return render(files)
