"""Fetch one file by HTTP so that an interruption costs nothing that has come already."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .manifest import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHUNK = 2**20
PAUSE_SECONDS = 0.5
SECRETS = ("authorization", "cookie")
FINAL = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass
class Limits:
    """How long a source may be silent, and all of it may take, in seconds."""

    patience: float = 60
    timeout: float = 4 * 3600
    started: float = field(default_factory=time.monotonic)

    @property
    def socket_timeout(self) -> float:
        """How long to wait for a single answer."""
        return min(self.patience, 30)

    def check(self) -> None:
        """Raise when the time is over."""
        if time.monotonic() - self.started > self.timeout:
            raise StoreError(
                f"it is not done after {self.timeout:.0f} s (model_store_timeout). What has come is kept: "
                f"run again to go on, or give it more time"
            )


class Patience:
    """Waits between attempts as long as something comes in from time to time."""

    def __init__(self, limits: Limits) -> None:
        """Start the clock."""
        self.limits, self.since, self.bytes = limits, time.monotonic(), -1

    def wait(self, size: int, problem: str) -> None:
        """Wait before the next attempt; raise when there has been no progress for too long."""
        if size != self.bytes:
            self.bytes, self.since = size, time.monotonic()
        self.limits.check()
        if time.monotonic() - self.since > self.limits.patience:
            raise StoreError(
                f"nothing has come for {self.limits.patience:.0f} s. The last problem: {problem}"
            )
        time.sleep(PAUSE_SECONDS)


class RefusedError(StoreError):
    """The server answered that it will not; `status` says how."""

    def __init__(self, url: str, status: int, text: str) -> None:
        """Describe the answer."""
        super().__init__(f"{url} answers {status} {text}".rstrip())
        self.status = status


class Redirect(urllib.request.HTTPRedirectHandler):
    """Follow a redirect, and give the secrets of one server to no other."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature of the base class
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request to the new place."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            for name in [name for name in request.headers if name.lower() in SECRETS]:
                request.remove_header(name)
        return request


def get(url: str, headers: Mapping[str, str], limits: Limits, method: str = "GET") -> Any:  # noqa: ANN401
    """Return the answer of a server, to be closed by the caller; raise RefusedError for an error status."""
    request = urllib.request.Request(  # noqa: S310 - the operator's URL
        url, headers={"User-Agent": "z-image-turbo-model-store", **headers}, method=method
    )
    opener = urllib.request.build_opener(Redirect)
    try:
        return opener.open(request, timeout=limits.socket_timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise RefusedError(url, error.code, error.reason) from error


def get_text(url: str, headers: Mapping[str, str], limits: Limits) -> str:
    """Return a small document; try again as long as the server has not said no."""
    patience = Patience(limits)
    while True:
        try:
            with get(url, headers, limits) as answer:
                return str(answer.read().decode())
        except RefusedError as error:
            if error.status in FINAL:
                raise
            problem = str(error)
        except (OSError, HTTPException) as error:
            problem = describe(url, error)
        patience.wait(0, problem)


def download(url: str, part: Path, size: int | None, headers: Mapping[str, str], limits: Limits) -> None:
    """Complete a partial file from a URL; a cut connection goes on where it was cut."""
    patience = Patience(limits)
    while True:
        try:
            if stream(url, part, size, headers, limits):
                return
            problem = f"{url}: the connection ends in mid-file"
        except RefusedError as error:
            if error.status in FINAL:
                raise
            if error.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            problem = str(error)
        except (OSError, HTTPException) as error:
            problem = describe(url, error)
        patience.wait(part.stat().st_size if part.exists() else 0, problem)


def stream(url: str, part: Path, size: int | None, headers: Mapping[str, str], limits: Limits) -> bool:
    """Ask once for what is missing of a file; return whether it is complete."""
    start = part.stat().st_size if part.exists() else 0
    if size is not None and start == size:
        return True
    if size is not None and start > size:
        start = 0
    wanted = {"Range": f"bytes={start}-"} if start else {}
    with get(url, {**headers, **wanted}, limits) as answer:
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        if size is None and length is not None:
            size = int(length) + (start if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                limits.check()
    return size is None or part.stat().st_size >= size


def describe(url: str, error: Exception) -> str:
    """Say which server did not answer, and why."""
    reason = getattr(error, "reason", None) or error
    return f"{url} does not answer ({str(reason) or type(error).__name__})"
