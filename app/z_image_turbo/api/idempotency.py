"""Idempotency-Key: a request that comes again joins the job of the first one instead of drawing anew."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request

from z_image_turbo.errors import KeyReused
from z_image_turbo.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from z_image_turbo.jobs import Job

HEADER = "Idempotency-Key"
KeyOf = Annotated[
    str | None,
    Header(
        alias=HEADER,
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="a request with the key of an earlier one joins that one's job",
    ),
]
KEPT_SECONDS = 120.0  # from the end of a job: longer than any client waits before it tries again
KEPT_PIXELS_MAX = 64 * 2**20  # of finished pictures, three bytes each
GRACE_SECONDS = 30.0  # for which a job is drawn on when everybody who asked for it has hung up


@dataclass(eq=False)
class _Shared:
    """A job that several requests may wait for."""

    job: Job
    fingerprint: str
    giving_up: asyncio.TimerHandle | None = None

    def give_up_later(self) -> None:
        """Cancel the job after a while, unless somebody comes back before."""
        self.giving_up = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.job.cancel)

    def join(self) -> Job:
        """Return the job to somebody who waits for it too."""
        if self.giving_up:
            self.giving_up.cancel()
        return self.job

    @property
    def wanted(self) -> bool:
        """Whether it is worth joining: a job that failed or was given up is not."""
        return self.job.outcome in {None, Outcome.DONE}


class SharedJobs:
    """The jobs that were asked for with a key, each caller's apart. For the event loop alone."""

    def __init__(self) -> None:
        """Know of no job."""
        self._known: dict[tuple[str, str], _Shared] = {}

    def ask(self, asked: Keyed, caller: str, submit: Callable[[], Job]) -> Job:
        """Return the job for what was `asked`, a new one or the known one.

        Raises `KeyReused` when the key is known from another request.
        """
        if asked.key is None:
            return submit()
        name = (caller, asked.key)
        shared = self._known.get(name)
        if shared is not None and shared.fingerprint != asked.fingerprint:
            raise KeyReused("was used for another request; take a new one.", field=HEADER)
        if shared is None or not shared.wanted:
            shared = _Shared(submit(), asked.fingerprint)
            shared.job.when_left = shared.give_up_later
            self._known[name] = shared
            self._forget_later(name, shared)
        return shared.join()

    def _forget_later(self, name: tuple[str, str], shared: _Shared) -> None:
        loop = asyncio.get_running_loop()

        def forget() -> None:
            if self._known.get(name) is shared:
                del self._known[name]

        def on_end(_: Job) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody comes again
                loop.call_soon_threadsafe(loop.call_later, KEPT_SECONDS if shared.wanted else 0, forget)
                loop.call_soon_threadsafe(self._keep_the_newest)

        shared.job.when_ended(on_end)

    def _keep_the_newest(self) -> None:
        """Let go of finished pictures beyond `KEPT_PIXELS_MAX`."""
        pixels = 0
        for name, shared in reversed(list(self._known.items())):
            if shared.job.outcome is Outcome.DONE:
                order = shared.job.order
                pixels += order.width * order.height * order.count
                if pixels > KEPT_PIXELS_MAX:
                    del self._known[name]


@dataclass(frozen=True, slots=True)
class Keyed:
    """What makes a request the same as another one: its key, and all that it says."""

    key: str | None
    fingerprint: str

    @classmethod
    def by(cls, key: str | None, path: str, wanted: BaseModel, *files: bytes) -> Keyed:
        """Note that a call of `path` asks for `wanted` with `files`, under `key`."""
        if key is None:
            return cls(None, "")
        digest = hashlib.sha256(path.encode())
        for part in (wanted.model_dump_json().encode(), *files):
            digest.update(hashlib.sha256(part).digest())
        return cls(key, digest.hexdigest())


def _shared_jobs(request: Request) -> SharedJobs:
    shared: SharedJobs = request.app.state.shared_jobs
    return shared


SharedJobsOf = Annotated[SharedJobs, Depends(_shared_jobs)]
