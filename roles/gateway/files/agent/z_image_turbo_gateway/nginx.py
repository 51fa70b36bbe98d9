"""A new list of servers: written beside the old one, read by Nginx in full, then taken into use."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_SECONDS = 20.0
RELOAD_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.1
ALONE = """\
events {{ }}
http {{
    map_hash_bucket_size 256;
    map_hash_max_size    8192;
    map "" $gateway_last_address {{ default ""; }}
    map "" $gateway_session      {{ default ""; }}
    map "" $gateway_file_host    {{ default ""; }}
    include {file};
}}
"""
PLACE = re.compile(r" in (\S+):(\d+)")


class NginxError(RuntimeError):
    """Nginx refused a configuration, or did not take it into use; says why, in its own words."""


@dataclass(frozen=True)
class Paths:
    """Where things are on a gateway."""

    nginx: Path = Path("/usr/sbin/nginx")
    main: Path = Path("/etc/nginx/nginx.conf")
    folder: Path = Path("/etc/nginx/z-image-turbo")

    @property
    def servers(self) -> Path:
        """The file that this program writes and `main` includes."""
        return self.folder / "fleet.conf"

    @property
    def source(self) -> Path:
        """The file that the role writes."""
        return self.folder / "fleet.json"


@contextlib.contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Let one process at a time write."""
    with (paths.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def check(text: str, paths: Paths) -> None:
    """Raise `NginxError` unless Nginx accepts its whole configuration with `text` as the list of servers.

    Before the role has written the main file the list is read alone.
    """
    with tempfile.TemporaryDirectory(prefix=".check-", dir=paths.folder) as name:
        servers, main = Path(name) / "fleet.conf", Path(name) / "nginx.conf"
        servers.write_text(text)
        include = f"include {paths.servers};"
        whole = paths.main.read_text() if paths.main.exists() else ""
        staged = whole.replace(include, f"include {servers};")
        main.write_text(staged if include in whole else ALONE.format(file=servers))
        status, said = await run(str(paths.nginx), "-t", "-q", "-c", str(main))
        if status:
            raise NginxError(_with_line(said, servers))


def write(text: str, path: Path) -> None:
    """Put a file in place of another one in one step; a full disk leaves the old one."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


async def reload(revision: str, health_url: str) -> None:
    """Have the running Nginx read its files again, and raise `NginxError` unless it then runs `revision`.

    Nginx reports a reload that it could not do to its log alone, hence the question afterwards.
    """
    status, said = await run("systemctl", "reload", "nginx")
    if status:
        raise NginxError(said.strip() or f"systemctl reload nginx ended with {status}")
    end = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < end:
        if await asyncio.to_thread(running, health_url) == revision:
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    raise NginxError(
        f"Nginx did not take {revision} into use within {RELOAD_SECONDS:.0f} s: see its error.log"
    )


def running(health_url: str) -> str:
    """Return the revision that Nginx runs, an empty string when it does not answer."""
    try:
        with urllib.request.urlopen(health_url, timeout=2) as answer:  # noqa: S310 - the role's own address
            return str(answer.headers.get("X-Gateway-Fleet") or "")
    except (OSError, ValueError):
        return ""


def on_disk(paths: Paths) -> str:
    """Return the list of servers that Nginx would start with, an empty string when there is none."""
    try:
        return paths.servers.read_text()
    except OSError:
        return ""


async def run(*command: str) -> tuple[int, str]:
    """Return the exit status of a command and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"{' '.join(command)} took longer than {COMMAND_SECONDS:.0f} s"
    return process.returncode or 0, said.decode(errors="replace")


def _with_line(said: str, servers: Path) -> str:
    """Add the line that Nginx names: the file is gone when somebody reads the message."""
    place = PLACE.search(said)
    if place is None or place[1] != str(servers):
        return said.strip()
    line = servers.read_text().splitlines()[int(place[2]) - 1].strip()
    return f"{said.strip()}\n{servers.name}:{place[2]}: {line}"
