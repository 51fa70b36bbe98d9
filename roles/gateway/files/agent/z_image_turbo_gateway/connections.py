"""How many connections Nginx has to each instance: requests and streams that are still being answered."""

from __future__ import annotations

import pwd
import socket
import struct
from collections import Counter
from pathlib import Path

NGINX_USER = "www-data"
ESTABLISHED = "01"
IPV4_BYTES = 4
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def open_connections(user: str = NGINX_USER) -> Counter[str]:
    """Return how many there are to each endpoint, as Nginx writes it. Those of this program do not count."""
    uid = str(pwd.getpwnam(user).pw_uid)
    found: Counter[str] = Counter()
    for table in TABLES:
        for row in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = row.split()
            if fields[3] == ESTABLISHED and fields[7] == uid:
                found[endpoint(fields[2])] += 1
    return found


def endpoint(written: str) -> str:
    """Return an endpoint that the kernel wrote in hexadecimal digits, each word in the host's byte order."""
    address, _, port = written.partition(":")
    packed = b"".join(struct.pack("=I", int(address[i : i + 8], 16)) for i in range(0, len(address), 8))
    if len(packed) == IPV4_BYTES:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
