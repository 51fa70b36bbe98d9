"""A stub instance: it answers as the application does, and fails as it is told.

By a request, until it is restarted: POST /stub/failed, or /stub/mute (silent, and at work by its log).
By a file, for longer: /run/stub/<name>-broken (it ends), -failed, and -black (its pictures are).
"""

import base64
import json
import os
import signal
import struct
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTED = time.monotonic()
START_SECONDS = float(os.environ["ZIMAGE_START_SECONDS"])
NAME = os.environ["ZIMAGE_NAME"]
TOLD = set()
OUTCOMES = Path("/run/stub")


def chunk(kind, content):
    """Return a part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(side, black):
    """Return a grey PNG with sides of so many pixels, with a gradient unless it is to be black."""
    line = bytes(side) if black else bytes(column % 256 for column in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + line) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class Handler(BaseHTTPRequestHandler):
    """Answers for an instance."""

    def do_GET(self):
        """Tell the state, or the figures."""
        while "mute" in TOLD:
            time.sleep(1)
        if self.path == "/metrics":
            self.answer(200, b"zimage_jobs_running 0.0\nzimage_queue_depth 0.0\n")
            return
        status = "ready" if time.monotonic() - STARTED > START_SECONDS else "loading"
        status = "failed" if "failed" in TOLD or (OUTCOMES / f"{NAME}-failed").exists() else status
        good = status == "ready" or (self.path == "/livez" and status != "failed")
        body = {
            "status": status,
            "instance": NAME,
            "release": os.environ["ZIMAGE_RELEASE"],
            "reason": "as it was told",
        }
        self.answer(200 if good else 503, json.dumps(body).encode())

    def do_POST(self):
        """Draw, or fail from now on."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/stub/"):
            TOLD.add(self.path.removeprefix("/stub/"))
            self.answer(200, b"")
            return
        image = picture(json.loads(body)["width"], (OUTCOMES / f"{NAME}-black").exists())
        self.answer(200, json.dumps({"images": [base64.b64encode(image).decode()]}).encode())

    def answer(self, status, body):
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing: a line in the log is a sign of work."""


def work():
    """Write to the log while nothing is answered."""
    while True:
        time.sleep(0.5)
        if "mute" in TOLD:
            print("at work", flush=True)


if (OUTCOMES / f"{NAME}-broken").exists():
    sys.exit("this environment does not work")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Thread(target=work, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
