"""Supervisor by its XML-RPC interface, with a time limit for each call: it may hang like anything else."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Fault, ServerProxy, Transport

from z_image_turbo_health.conditions import Program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECONDS = 3.0


class SupervisorError(RuntimeError):
    """Supervisor does not answer, or refuses; the message says which."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


class _Transport(Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - as it is declared
        """Return a connection to the file, whatever host is named."""
        return _Connection(self._path)


class Supervisor:
    """The supervisord of this host."""

    def __init__(self, path: Path) -> None:
        """Know its socket."""
        self._path = path

    def programs(self) -> Mapping[str, Program]:
        """Return what it says of each program; raise `SupervisorError`."""
        told = self._call("getAllProcessInfo")
        return {
            str(one["name"]): Program(
                str(one["statename"]),
                int(one["pid"]),
                float(max(0, one["now"] - one["start"])),
                str(one["spawnerr"] or one["description"]),
            )
            for one in told
        }

    def start(self, program: str) -> None:
        """Start a program that does not run, and do not wait for it."""
        self._call("startProcess", program, False)

    def stop(self, program: str) -> None:
        """Stop a program, and do not wait for it."""
        self._call("stopProcess", program, False)

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever it answers
        proxy: Any = ServerProxy("http://localhost", transport=_Transport(str(self._path)))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except Fault as error:
            raise SupervisorError(f"Supervisor refuses {method}: {error.faultString}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SupervisorError(f"Supervisor does not answer: {error}") from error
