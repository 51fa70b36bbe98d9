"""What a model consists of: its files with their sizes and hashes, and the manifest SHA256SUMS."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NAME = "SHA256SUMS"
LINE = re.compile(r"^(?P<sha256>[0-9a-f]{64}) [ *](?P<path>.+)$")
IDENTITY_DIGITS = 12
CHUNK = 4 * 2**20
# What a loader may run as code. Weights come as safetensors.
CODE = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")


class StoreError(Exception):
    """What cannot be done, for whom and why, and what to do next."""


@dataclass(frozen=True)
class File:
    """One file of a model; what is not known is None or empty. Sizes are bytes."""

    path: str
    size: int | None = None
    sha256: str = ""
    git_sha1: str = ""


def parse(text: str) -> list[File]:
    """Return the files that a manifest names."""
    files = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = LINE.match(line)
        if not found:
            raise StoreError(f"{NAME}, line {number}, is not '<sha256>  <path>': {line[:80]!r}")
        files.append(File(found["path"].removeprefix("./"), sha256=found["sha256"]))
    if not files:
        raise StoreError(f"{NAME} names no file")
    return files


def render(files: list[File]) -> str:
    """Return the manifest of files, the same for the same files."""
    lines = sorted((file.path.encode(), file.sha256) for file in files)
    return "".join(f"{sha256}  {path.decode()}\n" for path, sha256 in lines)


def identity(manifest: str) -> str:
    """Return the name of a revision: the first digits of its manifest's SHA-256."""
    return sha256_of_text(manifest)[:IDENTITY_DIGITS]


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def choose(files: list[File], exclude: list[str]) -> list[File]:
    """Return the files that no pattern excludes; refuse names that lead elsewhere and code."""
    kept = [
        file
        for file in files
        if file.path != NAME and not any(fnmatch.fnmatchcase(file.path, pattern) for pattern in exclude)
    ]
    for file in kept:
        parts = PurePosixPath(file.path).parts
        if file.path.startswith("/") or "\\" in file.path or ".." in parts or parts[0].startswith("."):
            raise StoreError(
                f"the source names a file {file.path!r}, which would not lie in the model's folder"
            )
        if file.path.endswith(CODE):
            raise StoreError(
                f"the source has a file {file.path!r}, which can run code when it is loaded: "
                f"take a model in safetensors, or leave the file out by model_store_exclude"
            )
    if len({file.path for file in kept}) != len(kept):
        raise StoreError("the source names a file twice")
    if not kept:
        raise StoreError("the source has no file that model_store_exclude leaves")
    return kept


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def git_sha1_of(path: Path) -> str:
    """Return the id that git gives a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def size_text(size: float) -> str:
    """Return bytes as people read them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
