"""Turns at loading a model: all instances of a host at once would only wait for the disk."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_SECONDS = 0.2

log = logging.getLogger(__name__)


@contextmanager
def turn(folder: Path | None, at_once: int, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold one of the `at_once` places that `folder` stands for; call `on_wait` once if all are taken.

    The kernel frees the place of a process that dies. A folder that cannot be used holds nobody up.
    """
    handle = None
    if folder is not None:
        try:
            handle = _place(folder, at_once, on_wait)
        except OSError as error:
            log.warning("the model is loaded without waiting for a turn: %s", error)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _place(folder: Path, at_once: int, on_wait: Callable[[], None]) -> int:
    told = False
    while True:
        for number in range(at_once):
            handle = os.open(folder / f"loading-{number}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
            else:
                return handle
        if not told:
            on_wait()
            told = True
        time.sleep(POLL_SECONDS)
