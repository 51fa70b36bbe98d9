#!/usr/bin/env python3
"""A stand-in for an instance: it answers with what it was asked, and misbehaves on request.

A request says how, in the header `X-Behave: <instance>=<behaviour>,...`; "all" is every instance:

    full     503 with Retry-After, as with a full queue
    drop     the connection is cut after the request was read
    invalid  422 with a body of its own
    slow     the answer takes a second
    cut      a stream is cut after its first event

Or for all that follows, told by a POST to /stub/mood:

    well       as it should be
    poisoned   ready, but 500 at once for every picture
    loading    503 for everything, readiness as well

A POST to /stub/jobs says how many jobs each caller has here.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT = int(sys.argv[1])
NAME = f"{socket.gethostname()}-{'ab'[PORT - 7861]}"
SCRIPT = "export const answer = 42;\n" * 400
MESSAGES = 4
PAUSE = 0.4
PROGRESS = "/sdapi/v1/progress"
CANCELS = ("/sdapi/v1/interrupt", "/sdapi/v1/skip")

seen: list[str] = []
calls: list[str] = []  # to give jobs up, each with its caller
jobs: dict[str, int] = {}
mood = ["well"]
sessions: set[str] = set()
lock = threading.Lock()


class Instance(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._serve()

    def do_POST(self) -> None:
        """Answer a request with a body."""
        self._serve()

    def log_message(self, *_: object) -> None:
        """Keep the journal short."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if url.path.startswith("/stub/"):
            self._control(url.path, body)
            return
        if mood[0] == "loading":
            self._json(503, {"loading": NAME}, {"Retry-After": "10"})
            return
        if url.path in CANCELS or url.path == PROGRESS:
            self._jobs(url.path)
            return
        with lock:
            seen.append(self.headers.get("X-Request-Id", ""))
        behaviours = dict(part.split("=") for part in self.headers.get("X-Behave", "").split(",") if part)
        behaviour = behaviours.get(NAME) or behaviours.get("all")
        if behaviour == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif mood[0] == "poisoned" and self.command == "POST":
            self._json(500, {"poisoned": NAME})
        elif behaviour == "full":
            self._json(503, {"full": NAME}, {"Retry-After": "17"})
        elif behaviour == "invalid":
            self._json(422, {"invalid": NAME})
        else:
            if behaviour == "slow":
                time.sleep(1)
            self._answer(url.path, parse_qs(url.query), body, cut=behaviour == "cut")

    def _control(self, path: str, body: bytes) -> None:
        with lock:
            if path == "/stub/mood":
                mood[0] = json.loads(body)
            elif path == "/stub/jobs":
                jobs.clear()
                jobs.update(json.loads(body))
                calls.clear()
        self._json(200, {"seen": seen, "calls": calls})

    def _jobs(self, path: str) -> None:
        caller = self.headers.get("X-Principal") or self.headers["X-Forwarded-For"]
        count = jobs.get(caller, 0)
        if path in CANCELS:
            with lock:
                calls.append(f"{path} {caller}")
            self._json(200, {})
            return
        state = {"job": NAME if count else "", "job_count": count, "job_timestamp": f"2026112410000{count}"}
        self._json(200, {"progress": 0.25 if count else 0.0, "eta_relative": 0.0, "state": state})

    def _answer(self, path: str, query: dict[str, list[str]], body: bytes, *, cut: bool) -> None:
        if path == "/gradio_api/queue/join":
            session = json.loads(body)["session_hash"]
            with lock:
                sessions.add(session)
            self._json(200, {"instance": NAME})
        elif path == "/gradio_api/queue/data":
            self._stream(query["session_hash"][0] in sessions, cut=cut)
        elif body == b'{"stream": true}':
            self._stream(known=True, cut=cut)
        elif path.startswith("/assets/"):
            self._send(200, SCRIPT.encode(), "application/javascript", {})
        else:
            headers = [[key, value] for key, value in self.headers.items()]
            self._json(200, {"instance": NAME, "path": self.path, "headers": headers, "bytes": len(body)})

    def _stream(self, known: bool, *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if not known:
            self.wfile.write(b'data: {"msg": "unexpected_error", "session_not_found": true}\n\n')
            return
        for number in range(MESSAGES):
            message = json.dumps(
                {"msg": "progress", "number": number, "instance": NAME, "padding": " " * 2000}
            )
            self.wfile.write(f"data: {message}\n\n".encode())
            self.wfile.flush()
            if cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            time.sleep(PAUSE)

    def _json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), "application/json", headers or {})

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        own = {"X-Served-By": NAME, "X-Request-Id": "of-the-instance", "Content-Type": content_type}
        for key, value in {**own, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", PORT), Instance)
    server.daemon_threads = True
    server.serve_forever()
