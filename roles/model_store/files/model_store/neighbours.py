"""Hosts that hand a model on: each serves the files that it has verified, and asks the others."""

from __future__ import annotations

import random
import re
import socket
import threading
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from .transfer import Limits, Patience, RefusedError, describe, stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .manifest import File

BLOB = re.compile(r"^/[0-9a-f]{64}$")
RANGE = re.compile(r"^bytes=(\d+)-$")
# Uploads at once. Few, so that whole files arrive early and are handed on: who finds a host busy asks on.
SLOTS = 2


class Handler(BaseHTTPRequestHandler):
    """Hands out a file by its SHA-256, to neighbours alone."""

    protocol_version = "HTTP/1.1"
    server: NeighbourServer

    def do_GET(self) -> None:
        """Answer with the file, or with what has come after the offset that is asked for."""
        if self.client_address[0] not in self.server.allowed:
            self.refuse(HTTPStatus.FORBIDDEN)
            return
        path = self.server.blobs().get(self.path[1:]) if BLOB.match(self.path) else None
        if path is None:
            self.refuse(HTTPStatus.NOT_FOUND)
            return
        if not self.server.slots.acquire(blocking=False):
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        try:
            self.hand_out(path)
        finally:
            self.server.slots.release()

    def hand_out(self, path: Path) -> None:
        """Send a file from an offset on."""
        asked = RANGE.match(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        with path.open("rb") as file:
            size = path.stat().st_size
            if start > size:
                self.refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            self.send_header("Content-Length", str(size - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.end_headers()
            self.connection.sendfile(file, start)

    def refuse(self, status: HTTPStatus) -> None:
        """Answer without a file."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class NeighbourServer(ThreadingHTTPServer):
    """Serves what a store has, for as long as the process lives."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], neighbours: list[str], blobs: Callable[[], dict[str, Path]]
    ) -> None:
        """Listen on the address of this host, for neighbours that are given by address or name."""
        self.allowed = {
            str(found[4][0])
            for name in neighbours
            for found in socket.getaddrinfo(name, None, socket.AF_INET)
        }
        self.blobs = blobs
        self.slots = threading.Semaphore(SLOTS)
        super().__init__(address, Handler)


class NeighbourSource:
    """The neighbours as one source: a file comes from any, and from another one when that one stops."""

    manifest = ""

    def __init__(self, files: list[File], peers: list[str], limits: Limits) -> None:
        """Take the files as they are known already, and the neighbours as `<address>:<port>`."""
        # In another order on each host, so that they have different files to offer early on.
        self.files, self.peers, self.limits = random.sample(files, len(files)), peers, limits

    def listing(self) -> list[File]:
        """Return the files of the model."""
        return self.files

    def sized(self, files: list[File]) -> list[File]:
        """Return the files as they are: sizes are known."""
        return files

    def fetch(self, file: File, part: Path) -> None:
        """Complete the partial file from whoever has it."""
        patience = Patience(self.limits)
        while True:
            problem = "there is no neighbour to ask"
            for peer in random.sample(self.peers, len(self.peers)):
                url = f"http://{peer}/{file.sha256}"
                try:
                    if stream(url, part, file.size, {}, self.limits):
                        return
                    problem = f"{url}: the connection ends in mid-file"
                except RefusedError as error:
                    problem = str(error)
                except (OSError, HTTPException) as error:
                    problem = describe(url, error)
            patience.wait(part.stat().st_size if part.exists() else 0, problem)
