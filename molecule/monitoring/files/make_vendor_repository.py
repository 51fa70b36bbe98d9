#!/usr/bin/python3
"""Makes a small signed stand-in of the repository with Grafana, Loki and Alloy; the key is FOLDER/key.asc.

usage: make_vendor_repository.py FOLDER

The programs in it do nothing but answer: Grafana on its port /api/health, Loki on its port /ready.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = """#!/usr/bin/python3
import os, re, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
if "grafana" in sys.argv[0]:
    Path(os.environ["GF_SECURITY_ADMIN_PASSWORD__FILE"]).read_text()
    address = os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"])
elif "loki" in sys.argv[0]:
    settings = Path(sys.argv[1].partition("=")[2]).read_text()
    address = "127.0.0.1", int(re.search("http_listen_port: ([0-9]+)", settings)[1])
else:
    address = "127.0.0.1", 12345
HTTPServer(address, Handler).serve_forever()
"""
POSTINST = """#!/bin/sh
set -e
getent passwd {user} >/dev/null || useradd --system --user-group --no-create-home {user}
"""
UNIT = """[Service]
User={user}
ExecStart={program}
[Install]
WantedBy=multi-user.target
"""
# Package: its unit, and its program.
PACKAGES = {
    "grafana": ("grafana-server", "/usr/sbin/grafana-server"),
    "loki": ("loki", "/usr/bin/loki"),
    "alloy": ("alloy", "/usr/bin/alloy"),
}


def package(pool, name):
    """Build one package; return its stanza in the list of packages."""
    unit, program = PACKAGES[name]
    with tempfile.TemporaryDirectory() as root:
        tree = Path(root, "tree")
        files = {
            "DEBIAN/postinst": POSTINST.format(user=name),
            f"lib/systemd/system/{unit}.service": UNIT.format(user=name, program=program),
            program.lstrip("/"): SERVER,
        }
        control = (
            f"Package: {name}\nVersion: 99.0.0\nArchitecture: all\nMaintainer: Lab <lab@example.org>\n"
            "Depends: python3\nDescription: stand-in\n"
        )
        for path, content in (files | {"DEBIAN/control": control}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
            (tree / path).chmod(0o644 if path.endswith(("control", ".service")) else 0o755)
        tree.chmod(0o755)
        file = pool / f"{name}.deb"
        run("dpkg-deb", "--build", "--root-owner-group", tree, file)
    content = file.read_bytes()
    return f"{control}Filename: pool/{file.name}\nSize: {len(content)}\nSHA256: {digest(content)}\n"


def digest(content):
    return hashlib.sha256(content).hexdigest()


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main():
    folder = Path(sys.argv[1])
    dist, pool, home = folder / "dists/stable", folder / "pool", folder / "gnupg"
    lists = dist / "main/binary-amd64"
    for path in (lists, pool):
        path.mkdir(parents=True)
    home.mkdir(mode=0o700)
    (lists / "Packages").write_text("\n".join(package(pool, name) for name in PACKAGES))
    packages = (lists / "Packages").read_bytes()
    (dist / "Release").write_text(
        "Origin: vendor\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\n"
        "Date: Tue, 24 Nov 2026 00:00:00 UTC\n"
        f"SHA256:\n {digest(packages)} {len(packages)} main/binary-amd64/Packages\n"
    )
    gpg = ("gpg", "--homedir", home, "--batch", "--yes", "--quiet")
    who = ("Lab <lab@example.org>", "ed25519", "sign", "never")
    run(*gpg, "--passphrase", "", "--quick-generate-key", *who)
    run(*gpg, "--armor", "--output", folder / "key.asc", "--export")
    run(*gpg, "--clearsign", "--output", dist / "InRelease", dist / "Release")


main()
