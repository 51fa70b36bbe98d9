"""A stub instance that draws: ready after a second, says who it is, and leaves when asked to."""

import base64
import json
import os
import random
import signal
import struct
import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

START_SECONDS = 1.0
STARTED = time.monotonic()


def png(width: int, height: int) -> bytes:
    """Return a picture of noise."""
    rows = b"".join(b"\0" + random.randbytes(3 * width) for _ in range(height))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in [*chunks, (b"IEND", b"")]
    )


class Handler(BaseHTTPRequestHandler):
    """Answers every path."""

    def do_GET(self) -> None:
        """Tell who this is: 503 while it starts, then 200; that it lives it says at once."""
        ready = time.monotonic() - STARTED > START_SECONDS
        said = {
            "instance": os.environ["ZIMAGE_NAME"],
            "release": os.environ["ZIMAGE_RELEASE"],
            "model": os.environ["ZIMAGE_MODEL_PATH"],
            "status": "ready" if ready else "loading",
            "reason": "it has started" if ready else "it starts",
        }
        self.answer(200 if ready or self.path == "/livez" else 503, said)

    def do_POST(self) -> None:
        """Draw."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        picture = png(asked["width"], asked["height"])
        self.answer(200, {"images": [base64.b64encode(picture).decode()]})

    def answer(self, status: int, content: dict[str, object]) -> None:
        """Answer with JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
