"""Wait until an instance has finished its work, and show how much is left."""

from __future__ import annotations

import re
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DOCUMENTATION = """
module: wait_until_idle
short_description: Wait until an instance has finished its work, and show how much is left
description:
  - The instance is asked for its figures from the host of the task. One that does not answer, or whose
    figures tell nothing of jobs, has nothing to wait for.
  - When the time is over the task says so and does not fail; what to do about it is up to the next task.
options:
  name:
    description: Name of the instance, for what is shown.
    type: str
    required: true
  url:
    description: Where its figures are, as C(http://192.0.2.11:7861/metrics).
    type: str
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 400
author:
  - The Z-Image-Turbo HA authors
attributes:
  check_mode:
    support: full
"""

EXAMPLES = """
- name: Wait until gpu1-a has finished its work
  wait_until_idle:
    name: gpu1-a
    url: http://192.0.2.11:7861/metrics
"""

RETURN = """
jobs:
  description: Jobs that were left when the time was over.
  type: int
  returned: always
"""

GAUGES = re.compile(r"^(zimage_jobs_running|zimage_queue_depth) (\S+)$", re.MULTILINE)
POLL_SECONDS = 1.0
SHOW_SECONDS = 5.0
ANSWER_SECONDS = 5


def work(figures: str) -> tuple[int, int]:
    """Return how many jobs are being drawn and how many wait, by figures in Prometheus' text format."""
    found = {name: int(float(value)) for name, value in GAUGES.findall(figures)}
    return found.get("zimage_jobs_running", 0), found.get("zimage_queue_depth", 0)


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Asks again and again, on the host of the task."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        outcome: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "name": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "timeout": {"type": "int", "default": 400},
            }
        )
        if self._task.check_mode:
            return {**outcome, "jobs": 0}
        end = time.monotonic() + arguments["timeout"]
        shown = time.monotonic()
        while any(left := self.ask(arguments["url"], task_vars)) and time.monotonic() < end:
            if time.monotonic() - shown > SHOW_SECONDS:
                Display().display(f"{arguments['name']}: {left[0]} jobs are being drawn, {left[1]} wait")
                shown = time.monotonic()
            time.sleep(POLL_SECONDS)
        return {**outcome, "jobs": sum(left)}

    def ask(self, url: str, task_vars: dict[str, Any] | None) -> tuple[int, int]:
        """Return what `work` returns; nothing for an instance that does not answer."""
        answer = self._execute_module(
            module_name="ansible.builtin.uri",
            module_args={"url": url, "return_content": True, "timeout": ANSWER_SECONDS},
            task_vars=task_vars,
        )
        return work(str(answer.get("content", "")))
