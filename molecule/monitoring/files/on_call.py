#!/usr/bin/python3
"""Stands in for whoever is told of alerts: writes down each message, one JSON object a line.

usage: on_call.py PORT FILE
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Path(sys.argv[2]).open("a") as file:
            for alert in body["alerts"]:
                told = {
                    "receiver": self.path.strip("/"),
                    "status": alert["status"],
                    "labels": alert["labels"],
                    "time": time.time(),
                }
                file.write(json.dumps(told) + "\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
