"""The small HTTP server that Nginx reaches by a Unix socket. It takes Nginx's requests and nobody else's."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from z_image_turbo_gateway.everywhere import PASSED_ON, UNAVAILABLE, Call, Everywhere

if TYPE_CHECKING:
    from z_image_turbo_gateway.asking import Answer

SOCKET = Path("/run/z-image-turbo-gateway/agent.sock")
NGINX_GROUP = "www-data"
REQUEST_SECONDS = 5.0
METHODS = ("GET", "POST")
WORDS = {200: "OK", 503: "Service Unavailable"}


async def serve(
    everywhere: Everywhere, path: Path = SOCKET, group: str | None = NGINX_GROUP
) -> asyncio.Server:
    """Listen; the caller closes what is returned."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                call = await _read(reader)
            _write(writer, await everywhere.answer(call))
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Nginx went away, or took too long
        finally:
            writer.close()

    with socket.socket(socket.AF_UNIX) as listener:
        _bind(listener, path, group)
        return await asyncio.start_unix_server(connected, sock=listener.dup())


def _bind(listener: socket.socket, path: Path, group: str | None) -> None:
    """Take the place of the socket that an earlier process left."""
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    if group is not None:
        shutil.chown(path, group=group)
    path.chmod(0o660)


async def _read(reader: asyncio.StreamReader) -> Call:
    """Return what is asked; a body is left unread, since none of the calls has one that matters."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    method, target, _ = first.split(" ")
    if method not in METHODS:
        raise ValueError(f"the method is {method}")
    pairs = ((name.strip().lower(), value.strip()) for name, _, value in (row.partition(":") for row in rest))
    return Call(method, target, tuple(sorted(pair for pair in pairs if pair[0] in PASSED_ON)))


def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    retry = ("Retry-After: 5",) if answer.status == UNAVAILABLE.status else ()
    head = (
        f"HTTP/1.1 {answer.status} {WORDS.get(answer.status, 'Answer')}",
        "Content-Type: application/json",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        *retry,
    )
    writer.write("\r\n".join([*head, "", ""]).encode() + answer.body)
