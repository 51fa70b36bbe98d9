"""A stub instance: ready after a while, says who it is, and leaves when asked to."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STARTED = time.monotonic()
START_SECONDS = float(os.environ["ZIMAGE_START_SECONDS"])


class Handler(BaseHTTPRequestHandler):
    """Answers every path with its state."""

    def do_GET(self) -> None:
        """Answer 503 while it starts, then 200."""
        ready = time.monotonic() - STARTED > START_SECONDS
        body = {
            "instance": os.environ["ZIMAGE_NAME"],
            "release": os.environ["ZIMAGE_RELEASE"],
            "uid": os.getuid(),
        }
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


if os.environ.get("ZIMAGE_BROKEN"):
    sys.exit("this configuration does not work")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
