"""The folder of the page's files, kept small: what is old goes, and the oldest when there is too much.

The instances of a host share the folder, so one of them may find a file gone that it has just seen.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from z_image_turbo.settings import Settings

EVERY_SECONDS = 60.0
FRESH_SECONDS = 120.0  # younger ones may still be written, or have just been shown: they stay in any case

log = logging.getLogger(__name__)


def clean(
    folder: Path, age_seconds: float, bytes_max: int, clock: Callable[[], float] = time.time
) -> tuple[int, int]:
    """Remove what is older than `age_seconds`, then the oldest files until `bytes_max` are left.

    Returns how many files and bytes went. Does nothing while another instance cleans. Links are not followed.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0, 0
    else:
        return _clean(folder, age_seconds, bytes_max, clock())
    finally:
        os.close(handle)


def _clean(folder: Path, age_seconds: float, bytes_max: int, now: float) -> tuple[int, int]:
    files: list[tuple[float, int, str]] = []
    folders: list[str] = []
    for parent, names, leaves in os.walk(folder):
        folders.extend(os.path.join(parent, name) for name in names)  # noqa: PTH118 - many of them
        for name in leaves:
            path = os.path.join(parent, name)  # noqa: PTH118
            with suppress(FileNotFoundError):
                facts = os.lstat(path)
                files.append((facts.st_mtime, facts.st_size, path))
    files.sort()
    left = sum(size for _, size, _ in files)
    gone = freed = 0
    for changed, size, path in files:
        age = now - changed
        if age < FRESH_SECONDS or (age < age_seconds and left <= bytes_max):
            break
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108
            gone, freed = gone + 1, freed + size
        left -= size
    for path in reversed(folders):  # the inner ones first
        with suppress(OSError):  # not empty, or gone
            if now - os.lstat(path).st_mtime >= FRESH_SECONDS:
                os.rmdir(path)  # noqa: PTH106
    return gone, freed


class Cleaner:
    """Cleans the folder of the page's files in a thread of its own, from time to time."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Know what to clean; `start` begins."""
        self._folder = folder
        self._age_seconds = settings.files_age_hours * 3600
        self._bytes_max = settings.files_bytes_max
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cleaner", daemon=True)

    def start(self) -> None:
        """Begin to clean."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; returns at once."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                gone, freed = clean(self._folder, self._age_seconds, self._bytes_max)
            except OSError as error:
                log.warning("the page's files cannot be cleaned: %s", error)
            else:
                if gone:
                    log.info("removed old files of the page", extra={"files": gone, "bytes": freed})
