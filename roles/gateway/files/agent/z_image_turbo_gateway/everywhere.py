"""Calls about the caller's jobs, wherever these are: `/sdapi/v1/progress`, `interrupt` and `skip`.

An instance knows its own jobs alone, so all are asked at once, and the answers are made into one. Who calls
is in the headers that Nginx sets; every instance answers for the jobs of that caller.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from z_image_turbo_gateway.asking import OK, Answer, Asker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from z_image_turbo_gateway.fleet import Instance

LIMIT_SECONDS = 0.8  # for one instance; the whole call takes hardly longer
FRESH_SECONDS = 0.5  # for how long an answer about progress serves the same caller
AT_ONCE = 4  # calls; a crowd of them would make every one of them late
PROGRESS = "/sdapi/v1/progress"
PASSED_ON = ("x-principal", "x-forwarded-for", "x-request-id")
UNAVAILABLE = Answer(
    503,
    b'{"error":"InstanceUnreachable","detail":"No instance answered. Please try again.","body":"",'
    b'"errors":"no_instance"}',
)


class Call(NamedTuple):
    """One call, without what no instance needs."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def question(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What is the same for calls that have the same answer."""
        return self.method, self.target, tuple(pair for pair in self.headers if pair[0] != "x-request-id")


class Everywhere:
    """Asks all instances that answer."""

    def __init__(self, instances: Callable[[], Sequence[Instance]]) -> None:
        """Ask those that `instances` returns at the time of a call."""
        self._instances = instances
        self._asker = Asker()
        self._fresh: dict[object, tuple[float, asyncio.Task[Answer]]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def answer(self, call: Call) -> Answer:
        """Return one answer for all instances. Questions about progress share one for half a second."""
        if call.method != "GET":
            return await self._ask_all(call)
        now = time.monotonic()
        self._fresh = {key: entry for key, entry in self._fresh.items() if now < entry[0] + FRESH_SECONDS}
        if call.question not in self._fresh:
            self._fresh[call.question] = now, asyncio.create_task(self._in_turn(call))
        return await asyncio.shield(self._fresh[call.question][1])

    async def _in_turn(self, call: Call) -> Answer:
        async with self._turns:
            return await self._ask_all(call)

    async def _ask_all(self, call: Call) -> Answer:
        headers = dict(call.headers)
        questions = [
            self._asker.ask(one, call.method, call.target, headers, LIMIT_SECONDS)
            for one in self._instances()
        ]
        answers = [answer for answer in await asyncio.gather(*questions) if answer is not None]
        good = [answer for answer in answers if answer.status == OK]
        if not good:
            return next(iter(answers), UNAVAILABLE)
        if call.target.partition("?")[0] == PROGRESS:
            return Answer(OK, json.dumps(merge(_objects(good))).encode())
        return good[0]


def merge(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Make the reports of all instances on one caller's jobs into one, in the shape that each of them has.

    It tells of the job that was accepted first, and how many there are in all.
    """
    reports = list(reports)
    busy = [report for report in reports if _job_count(report)]
    if not busy:
        return reports[0]
    first = min(
        busy, key=lambda report: (str(report["state"].get("job_timestamp")), -_number(report, "progress"))
    )
    return {**first, "state": {**first["state"], "job_count": sum(map(_job_count, busy))}}


def _objects(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    found = []
    for answer in answers:
        try:
            report = json.loads(answer.body)
        except ValueError:
            continue
        if isinstance(report, dict) and isinstance(report.get("state"), dict):
            found.append(report)
    return found or [{"progress": 0.0, "eta_relative": 0.0, "state": {"job_count": 0}}]


def _job_count(report: dict[str, Any]) -> int:
    return int(_number(report["state"], "job_count"))


def _number(values: dict[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
