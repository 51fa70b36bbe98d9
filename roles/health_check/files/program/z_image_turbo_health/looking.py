"""One look at the host: every instance at once, beside it the GPUs, which are asked more rarely."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from z_image_turbo_health import gpus
from z_image_turbo_health.asking import ask
from z_image_turbo_health.conditions import NO_WORD, NOT_THERE, Sight
from z_image_turbo_health.supervisor import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from z_image_turbo_health.conditions import Program, Record
    from z_image_turbo_health.settings import Instance, Settings
    from z_image_turbo_health.supervisor import Supervisor

THREADS_MAX = 16
GPU_SECONDS = 15.0  # from one question to nvidia-smi to the next


class Eyes:
    """Looks at the instances of a host."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        """Know what to look at."""
        self._settings = settings
        self._supervisor = supervisor
        self._gpus: threading.Thread | None = None
        self._gpus_asked = -GPU_SECONDS
        self._troubles: dict[str, str] = {}

    def look(self, records: Mapping[str, Record]) -> tuple[dict[str, Sight], str]:
        """Return what is seen of each instance, and what is wrong with Supervisor, nothing if it answers."""
        programs: Mapping[str, Program] | None
        try:
            programs, error = self._supervisor.programs(), ""
        except SupervisorError as problem:
            programs, error = None, str(problem)
        self.ask_gpus()
        limit = self._settings.options.limit
        with ThreadPoolExecutor(THREADS_MAX) as threads:
            answers = threads.map(lambda one: ask(one, limit), self._settings.instances)
        sights = {}
        for instance, answer in zip(self._settings.instances, answers, strict=True):
            program = NO_WORD if programs is None else programs.get(instance.program, NOT_THERE)
            grew = _log_grew(instance, records[instance.id])
            trouble = self._troubles.get(instance.gpu or "", "")
            sights[instance.id] = Sight(program, *answer, grew, trouble)
        return sights, error

    def ask_gpus(self, *, wait: bool = False) -> None:
        """Ask for the GPUs if it is time to, beside everything else unless it is waited for."""
        wanted = [one.gpu for one in self._settings.instances if one.gpu is not None]
        busy = self._gpus is not None and self._gpus.is_alive()
        if not wanted or busy or time.monotonic() - self._gpus_asked < GPU_SECONDS:
            return

        def ask_them() -> None:
            self._troubles = gpus.troubles(wanted)

        self._gpus_asked = time.monotonic()
        self._gpus = threading.Thread(target=ask_them, daemon=True)
        self._gpus.start()
        if wait:
            self._gpus.join()


def _log_grew(instance: Instance, record: Record) -> bool:
    """Tell whether an instance has written to its log since the last look, and remember how far it is."""
    try:
        facts = os.stat(instance.log)  # noqa: PTH116 - a path as the role writes it
    except OSError:
        return False
    before, record.log_mark = record.log_mark, [facts.st_ino, facts.st_size]
    return bool(before) and record.log_mark != before and facts.st_size > 0
