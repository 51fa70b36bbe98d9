"""Streams and large requests: nothing is held back, nothing is run twice, nothing is lost on the way."""

from __future__ import annotations

import itertools
import json
from http.client import HTTPConnection, HTTPException
from time import monotonic

import pytest
from conftest import PICTURE, PORTS, Client, runs_of

OPENAI = "/v1/images/generations"
STREAM = '{"stream": true}'
MEGABYTES = 1 << 20


def events(gateway: Client, **headers: str) -> tuple[dict[str, str], list[float], bool]:
    """Return the headers of a stream, when each of its events came, and whether it was cut."""
    connection = HTTPConnection(gateway.address, gateway.port, timeout=20)
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", OPENAI, STREAM, {"Accept-Encoding": "gzip", **dashed})
    response = connection.getresponse()
    began, times = monotonic(), []
    try:
        while line := response.readline():
            if line.startswith(b"data: "):
                json.loads(line[6:])
                times.append(monotonic() - began)
    except (HTTPException, OSError):
        pass
    connection.close()
    return dict(response.headers), times, len(times) < 4


def test_a_stream_of_pictures_arrives_event_by_event_and_is_not_packed(gateway: Client) -> None:
    headers, times, cut = events(gateway)
    assert not cut
    assert all(later - earlier > 0.2 for earlier, later in itertools.pairwise(times))
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in headers
    assert headers["X-Served-By"] in PORTS


def test_a_stream_that_breaks_after_its_first_event_is_not_begun_again(
    gateway: Client, request_id: str
) -> None:
    _, times, cut = events(gateway, X_Behave="all=cut", X_Request_Id=request_id)
    assert cut
    assert len(times) == 1
    assert len(runs_of(request_id)) == 1


@pytest.mark.parametrize("behaviour", ["drop", "full"])
def test_a_stream_that_did_not_begin_is_begun_at_another_instance(
    gateway: Client, request_id: str, behaviour: str
) -> None:
    for number, name in enumerate(PORTS):
        _, times, cut = events(gateway, X_Behave=f"{name}={behaviour}", X_Request_Id=f"{request_id}-{number}")
        assert not cut
        assert len(times) == 4


@pytest.mark.parametrize("behaviour", ["drop", "full"])
def test_a_picture_of_fifteen_megabytes_reaches_the_second_instance_in_full(
    gateway: Client, behaviour: str
) -> None:
    body = "x" * (15 * MEGABYTES)
    behave = ",".join(f"{name}={behaviour}" for name in list(PORTS)[:2])
    answers = [gateway.post("/sdapi/v1/img2img", body, X_Behave=behave) for _ in range(3)]
    assert 200 in {answer.status for answer in answers}
    assert {answer.json["bytes"] for answer in answers if answer.status == 200} == {len(body)}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: nonsense", 400),
        (f"GET /{'x' * 40000} HTTP/1.1\r\nHost: x", 414),
        (f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 40000}", 400),
        ("GET /docs HTTP/1.1\r\nHost: x", 404),
        (f"POST {PICTURE} HTTP/1.1\r\nHost: x\r\nContent-Length: {999 * MEGABYTES}", 413),
    ],
)
def test_errors_of_the_gateway_itself_name_request_and_gateway(
    gateway: Client, request_line: str, status: int
) -> None:
    connection = HTTPConnection(gateway.address, gateway.port, timeout=10)
    connection.connect()
    connection.sock.sendall(f"{request_line}\r\n\r\n".encode())
    response = connection.response_class(connection.sock)
    response.begin()
    connection.close()
    assert response.status == status
    assert len(response.headers["X-Request-Id"]) == 32
    assert response.headers["X-Served-By"] == "gateway"
