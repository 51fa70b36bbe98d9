"""A small model hub for the lab: Hugging Face's and ModelScope's interfaces, plain files, and faults.

usage: model_hub.py FOLDER [PORT]
FOLDER has a folder for each commit of the repository lab/nano; lab/gated has the same and wants the token.
PUT /lab/faults takes JSON, GET /lab/requests tells who asked for what.
"""

import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_lab_token"
LFS_BYTES = 10_000
NO_FAULTS = {
    "cut": 0,  # bytes after which each answer with a file breaks off
    "die_after": 0,  # bytes after which the hub answers nothing but 503
    "corrupt": "",  # a file that arrives with another first byte
    "rate": 0,  # bytes a second
}


class Hub(ThreadingHTTPServer):
    """The files, what is wrong, and who asked."""

    daemon_threads = True

    def __init__(self, port, folder):
        self.folder = Path(folder)
        self.faults, self.requests, self.sent, self.lock = dict(NO_FAULTS), [], 0, threading.Lock()
        super().__init__(("", port), Answer)

    def files(self, commit):
        """Return the paths of the files of a commit."""
        top = self.folder / commit
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


class Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *message):
        """Leave it at what /lab/requests tells."""

    def do_PUT(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.faults, self.server.requests, self.server.sent = {**NO_FAULTS, **body}, [], 0
        self.say(200, {})

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        url = urlsplit(self.path)
        path, query = unquote(url.path), {name: values[0] for name, values in parse_qs(url.query).items()}
        if path == "/lab/requests":
            self.say(200, self.server.requests)
            return
        secret = "Authorization" in self.headers
        self.server.requests.append(
            {"from": self.client_address[0], "method": self.command, "path": self.path, "secret": secret}
        )
        if self.server.faults["die_after"] and self.server.sent >= self.server.faults["die_after"]:
            self.say(503, {})
        elif found := re.match(r"/api/models/lab/(\w+)/revision/(.+)", path):
            self.huggingface_info(*found.groups())
        elif found := re.match(r"/lab/(\w+)/resolve/([0-9a-f]+)/(.+)", path):
            self.huggingface_file(*found.groups())
        elif path.startswith("/moved/"):
            self.say(302, {}, {"Location": self.elsewhere(path.removeprefix("/moved/"))})
        elif found := re.match(r"/cdn/([0-9a-f]+)/(.+)", path):
            self.send_file(found[1], found[2])
        elif path == "/api/v1/models/lab/nano/repo/files":
            self.modelscope_list(query["Revision"])
        elif path == "/api/v1/models/lab/nano/repo":
            self.send_file(query["Revision"], query["FilePath"])
        elif found := re.match(r"/files/([0-9a-f]+)/(.+)", path):
            self.send_file(found[1], found[2])
        else:
            self.say(404, {"error": "not found"})

    def allowed(self, name):
        """Refuse the gated repository to those without the token."""
        if name != "gated" or self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.say(401, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        return False

    def huggingface_info(self, name, commit):
        if not self.allowed(name):
            return
        if not (self.server.folder / commit).is_dir():
            self.say(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for path in self.server.files(commit):
            content = (self.server.folder / commit / path).read_bytes()
            entry = {"rfilename": path, "size": len(content), "blobId": git_sha1(content)}
            if len(content) > LFS_BYTES:
                lfs = {"sha256": sha256(content), "size": len(content), "pointerSize": 132}
                entry = {**entry, "blobId": git_sha1(b"the pointer, not the content"), "lfs": lfs}
            siblings.append(entry)
        self.say(200, {"id": f"lab/{name}", "modelId": f"lab/{name}", "sha": commit, "siblings": siblings})

    def huggingface_file(self, name, commit, path):
        if not self.allowed(name):
            return
        file = self.server.folder / commit / path
        if not file.is_file():
            self.say(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        content = file.read_bytes()
        headers = {"X-Repo-Commit": commit}
        if len(content) <= LFS_BYTES:
            self.send_file(commit, path, {**headers, "ETag": f'"{git_sha1(content)}"'})
            return
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256(content)}"'}
        self.say(302, {}, {**headers, "Location": self.elsewhere(f"{commit}/{path}")})

    def elsewhere(self, path):
        """Return where large files lie: on another server, as with the real one; an address, not a name."""
        return f"http://{self.connection.getsockname()[0]}:{self.server.server_port}/cdn/{path}"

    def modelscope_list(self, commit):
        files = [{"Path": "transformer", "Type": "tree", "Size": 0, "Sha256": ""}]
        for path in self.server.files(commit):
            content = (self.server.folder / commit / path).read_bytes()
            files.append({"Path": path, "Type": "blob", "Size": len(content), "Sha256": sha256(content)})
        self.say(200, {"Code": 200, "Data": {"Files": files}})

    def send_file(self, commit, path, headers=()):
        faults, file = self.server.faults, self.server.folder / commit / path
        if not file.is_file():
            self.say(404, {"error": "not found"})
            return
        content = file.read_bytes()
        if path == faults["corrupt"]:
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.send_slowly(content[start:], faults)

    def send_slowly(self, content, faults):
        """Send as much of a file as the faults allow, and break off the connection where they do not."""
        step = faults["rate"] // 10 or 64_000
        for done in range(0, len(content), step):
            dead = faults["die_after"] and self.server.sent >= faults["die_after"]
            if dead or (faults["cut"] and done >= faults["cut"]):
                self.close_connection = True
                return
            chunk = content[done : done + step]
            self.wfile.write(chunk)
            with self.server.lock:
                self.server.sent += len(chunk)
            time.sleep(0.1 if faults["rate"] else 0)

    def say(self, status, body, headers=()):
        """Answer with JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Content-Type", "application/json")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


if __name__ == "__main__":
    Hub(int(sys.argv[2]) if len(sys.argv) > 2 else 8000, sys.argv[1]).serve_forever()
