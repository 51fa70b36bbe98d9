"""What Nginx's access log tells of the instances: who answered with errors, and whose sessions are alive."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_LOG = Path("/var/log/nginx/access.log")
BYTES_AT_ONCE = 4 << 20
PICTURES = re.compile(r"/(sdapi|v1)/")
SESSIONS = re.compile(r"/gradio_api/(queue|call|run|api)/")
SEPARATOR = re.compile(r"\s*[,:]\s+")
NO_FAULT = {"502", "503", "504"}  # not reached, full or not ready, too slow: the probes judge these
SERVER_ERROR = "5"


class Try(NamedTuple):
    """One try of a request at an instance."""

    endpoint: str
    failed: bool
    session: bool  # whether it is one of a session, and not a single request


class LogReader:
    """Reads what is appended to the log, past its rotation."""

    def __init__(self, path: Path = ACCESS_LOG) -> None:
        """Begin at the end: what happened before the agent ran is past."""
        self._path = path
        self._file = path.open("rb") if path.exists() else None
        if self._file:
            self._file.seek(0, 2)
        self._rest = b""

    def tries(self) -> Iterator[Try]:
        """Yield what has happened since the last time."""
        for line in self._lines():
            yield from tries_of(line)

    def _lines(self) -> list[bytes]:
        data = self._file.read(BYTES_AT_ONCE) if self._file else b""
        if not data and self._was_rotated():
            if self._file:
                self._file.close()
            self._file, self._rest = self._path.open("rb"), b""
            data = self._file.read(BYTES_AT_ONCE)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def _was_rotated(self) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        if self._file is None:
            return True
        return there.st_ino != _inode(self._file.fileno()) or there.st_size < self._file.tell()


def tries_of(line: bytes) -> Iterator[Try]:
    """Yield the tries of one request; nothing for a line that is none of ours."""
    try:
        entry = json.loads(line)
        uri, addresses, statuses = entry["uri"], entry["upstream"], entry["upstream_status"]
        method = entry["method"]
    except (ValueError, KeyError, TypeError):
        return
    session = bool(SESSIONS.match(uri))
    if not session and not (method == "POST" and PICTURES.match(uri)):
        return
    for endpoint, status in zip(SEPARATOR.split(addresses), SEPARATOR.split(statuses), strict=False):
        if status.isdigit() and status not in NO_FAULT:
            yield Try(endpoint, not session and status.startswith(SERVER_ERROR), session)


def _inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino
