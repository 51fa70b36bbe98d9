"""Asking instances over HTTP, many at once and each within a time limit."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from z_image_turbo_gateway.levels import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from z_image_turbo_gateway.fleet import Instance

ANSWER_BYTES_MAX = 8 << 20
IDLE_SECONDS = 3.0  # for a connection that may be used again; an instance closes it after 5
OK = 200


class Answer(NamedTuple):
    """What an instance answered."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One connection to an instance, for one question after the other."""

    def __init__(self) -> None:
        """Begin without an answer."""
        self._data = b""
        self._answer: asyncio.Future[Answer] | None = None
        self.transport: asyncio.Transport | None = None
        self.reusable = False
        self.since = 0.0  # when it became idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep how to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        self._data += data
        if self._answer is None or self._answer.done():
            self.close()
            return
        try:
            answer = self._complete()
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if answer is not None:
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the question that is open."""
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> Answer:
        """Return the answer to a request; raise `OSError` or `ValueError` when there is none."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError
        self._data, self.reusable = b"", False
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it at once."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def _complete(self) -> Answer | None:
        """Return the answer if all of it is there; none of the questions has one of unknown length."""
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            if len(head) > ANSWER_BYTES_MAX:
                raise ValueError("the head of the answer is too long")
            return None
        first, *rows = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)
        }
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is of {length} bytes")
        if len(body) < length:
            return None
        self.reusable = len(body) == length and headers.get("connection", "").lower() != "close"
        return Answer(int(first.split(" ", 2)[1]), body)


class Asker:
    """Asks instances; connections are used again, which makes a question to hundreds of them cheap."""

    def __init__(self) -> None:
        """Begin without connections."""
        self._idle: dict[str, list[Connection]] = {}

    async def ask(
        self, instance: Instance, method: str, target: str, headers: Mapping[str, str], limit: float
    ) -> Answer | None:
        """Return the answer of an instance, None when there is none within `limit` seconds."""
        request = _request(instance, method, target, headers)
        try:
            async with asyncio.timeout(limit):
                if (kept := self._take(instance)) is not None:
                    try:
                        return await self._ask(instance, kept, request)
                    except OSError:
                        pass  # the instance closed it meanwhile; the calls may be repeated
                return await self._ask(instance, await connect(instance), request)
        except (OSError, ValueError):
            return None

    async def _ask(self, instance: Instance, connection: Connection, request: bytes) -> Answer:
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            connection.since = time.monotonic()
            self._idle.setdefault(instance.endpoint, []).append(connection)
        else:
            connection.close()
        return answer

    def _take(self, instance: Instance) -> Connection | None:
        idle = self._idle.get(instance.endpoint, [])
        while idle:
            connection = idle.pop()
            if connection.reusable and time.monotonic() - connection.since < IDLE_SECONDS:
                return connection
            connection.close()
        return None


async def connect(instance: Instance) -> Connection:
    """Return a new connection."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, instance.address, instance.port)
    return connection


async def probe(instance: Instance, path: str, limit: float) -> Probe:
    """Tell whether an instance is ready, and takes new connections."""
    connection = None
    try:
        async with asyncio.timeout(limit):
            connection = await connect(instance)
            answer = await connection.ask(_request(instance, "GET", path, {"Connection": "close"}))
    except (OSError, ValueError):
        return Probe.LOST
    finally:
        if connection is not None:
            connection.close()
    return Probe.READY if answer.status == OK else Probe.REFUSING


def _request(instance: Instance, method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {instance.endpoint}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Content-Length: 0"] if method != "GET" else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
