"""Asking an instance over HTTP, each answer within a time limit."""

from __future__ import annotations

import http.client
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from z_image_turbo_health.settings import Instance

BYTES_MAX = 64 << 20
WORK = re.compile(rb"^zimage_(?:jobs_running|queue_depth) (\S+)$", re.MULTILINE)


class Answer(NamedTuple):
    """What /livez and /metrics said; `live` is None where nothing answered."""

    live: bool | None
    status: str = ""
    said: str = ""
    working: bool = False


def ask(instance: Instance, limit: float) -> Answer:
    """Return what an instance says of itself."""
    try:
        code, body = request(instance, "/livez", limit)
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, said=f"it does not answer ({_in_words(error)})")
    try:
        told = json.loads(body)
        status, reason = str(told["status"]), str(told["reason"])
    except (ValueError, KeyError, TypeError):
        return Answer(None, said=f"what answers on port {instance.port} is no instance (HTTP {code})")
    if told.get("instance", instance.id) != instance.id:
        return Answer(None, said=f"on port {instance.port} answers {told['instance']}")
    return Answer(code == HTTPStatus.OK, status, reason, _is_working(instance, limit))


def _is_working(instance: Instance, limit: float) -> bool:
    try:
        _, body = request(instance, "/metrics", limit)
    except (OSError, http.client.HTTPException):
        return False
    return any(float(number) > 0 for number in WORK.findall(body))


def request(instance: Instance, path: str, limit: float, body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer; raise `OSError` or `HTTPException` where there is none.

    An instance that listens on 127.0.0.1 is asked there, so that a network which is down is not its fault.
    """
    try:
        return _request("127.0.0.1", instance.port, path, limit, body)
    except ConnectionRefusedError:
        return _request(instance.address, instance.port, path, limit, body)


def _request(address: str, port: int, path: str, limit: float, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, port, timeout=limit)
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(BYTES_MAX)
    finally:
        connection.close()


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "too slow"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens"
    return type(error).__name__
