"""Ending an instance that does not end by itself, and finding one that nobody watches any more."""

from __future__ import annotations

import itertools
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.1
PROC = Path("/proc")


def end(pid: int, patience: float = PATIENCE_SECONDS) -> None:
    """End a process with all of its group: asked first, killed then."""
    for how, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, how)
            else:
                os.kill(pid, how)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not exists(pid):
                return
            time.sleep(POLL_SECONDS)


def exists(pid: int) -> bool:
    """Tell whether a process is there, and not merely its exit status."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def orphans(port: int) -> list[int]:
    """Return the instances with this port whose parent is gone: they hold it, and nobody watches."""
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        is_instance = any(word.endswith(b"app.py") for word in words)
        if is_instance and parent == 1 and _follows(words, b"--port", str(port).encode()):
            found.append(int(folder.name))
    return sorted(found)


def _follows(words: list[bytes], flag: bytes, value: bytes) -> bool:
    return (flag, value) in itertools.pairwise(words)
