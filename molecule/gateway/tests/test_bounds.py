"""What the gateway takes from a client, and what it refuses before an instance sees it."""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from conftest import PICTURE, Client, Visitor
from test_identity import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

OPENAI = "/v1/images/generations"
MIB = 2**20


@pytest.mark.parametrize(
    ("path", "mebibytes", "status"),
    [
        (PICTURE, 0.9, 200),
        (PICTURE, 1.1, 413),
        (OPENAI, 1.1, 413),
        ("/images/generations", 1.1, 413),
        ("/gradio_api/call/x", 1.1, 413),
        ("/sdapi/v1/img2img", 19, 200),
        ("/sdapi/v1/png-info", 19, 200),
        ("/v1/images/edits", 19, 200),
        ("/images/edits", 19, 200),
        ("/gradio_api/upload", 19, 200),
        ("/sdapi/v1/img2img", 21, 413),
        ("/v1/images/edits", 21, 413),
        ("/gradio_api/upload", 21, 413),
    ],
)
def test_only_requests_that_bring_pictures_along_may_be_large(
    visitor: Visitor, path: str, mebibytes: float, status: int
) -> None:
    size = int(mebibytes * MIB)
    if status == 413:  # the announced size is enough; a client that sends on would only see the connection go
        answer = visitor.call("POST", path, Authorization=KEY, Content_Length=str(size))
        assert answer.status == 413
        assert b"request_too_large" in answer.body
    else:
        answer = visitor.post(path, "x" * size, Authorization=KEY)
        assert (answer.status, answer.json["bytes"]) == (200, size)


def head(*lines: str, method: str = "POST", path: str = PICTURE) -> bytes:
    """Return the head of a request, with what is needed and the given lines."""
    first = (f"{method} {path} HTTP/1.1", f"Authorization: {KEY}", "Connection: close")
    return "\r\n".join((*first, *lines, "", "")).encode("latin-1")


HOST = "Host: guarded1"
CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = b"0\r\n\r\nGET /healthz?hidden HTTP/1.1\r\nHost: guarded1\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "statuses"),
    [
        (head(HOST, "Content-Length: 6", CHUNKED), {400}),
        (head(HOST, CHUNKED, "Content-Length: 6"), {400}),
        (head(HOST, "Content-Length: 6", "Content-Length: 60"), {400}),
        (head(HOST, "Content-Length: 6", "Content-Length: 6"), {400}),
        (head(HOST, "Content-Length: -6"), {400}),
        (head(HOST, "Content-Length: +6"), {400}),
        (head(HOST, "Content-Length: 0x6"), {400}),
        (head(HOST, "Content-Length: 6, 6"), {400}),
        (head(HOST, "Content-Length: 99999999999999999999"), {400, 413}),
        (head(HOST, "Transfer-Encoding: xchunked"), {400, 501}),
        (head(HOST, "Transfer-Encoding: chunked, identity"), {400, 501}),
        (head(HOST, "Transfer-Encoding:\x0bchunked"), {400, 501}),
        (head(HOST, CHUNKED, CHUNKED), {400, 501}),
        (head(HOST, "X-A: b\r\n folded"), {400, 200}),
        (head(HOST, "X-A: b\x00c"), {400}),
        (head(HOST, path="/%00"), {400}),
        (head(HOST, path="/\x00"), {400}),
        (head(HOST, path="/../../etc/passwd"), {400}),
        (head(HOST, path="/%2e%2e/%2e%2e/etc/passwd"), {400}),
        (head(HOST, "Content Length: 6"), {400, 200}),
        (head(), {400}),
        (head(HOST, "Host: other"), {400}),
        (head("Host: a b"), {400}),
        (head(HOST, f"X-A: {'x' * 9000}"), {400}),
        (head(HOST, *[f"X-A{number}: {'x' * 4000}" for number in range(12)]), {400}),
        (head(HOST, path=f"/{'x' * 9000}"), {414}),
    ],
)
def test_requests_of_two_meanings_are_refused_or_have_one(
    visitor: Visitor, request_head: bytes, statuses: set[int]
) -> None:
    answer = visitor.raw(request_head + HIDDEN)
    lines = [line for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert len(lines) == 1, "the hidden request was answered"
    assert int(lines[0].split()[1]) in statuses


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND", "TRACE", "CONNECT"])
def test_methods_that_nothing_here_has_are_refused(visitor: Visitor, method: str) -> None:
    assert visitor.call(method, PICTURE, Authorization=KEY).status in (400, 405)


@pytest.mark.parametrize("path", ["/.git/config", "/.env", "/x/.htpasswd", "/%2egit/config", "/static/.x"])
def test_hidden_files_are_nobodys(visitor: Visitor, path: str) -> None:
    assert visitor.get(path, Authorization=KEY).status == 404


@pytest.mark.parametrize("name", ["evil.example", "guarded1.evil.example", "127.0.0.2", "evil.example:80"])
def test_only_the_names_of_the_service_are_served(visitor: Visitor, name: str) -> None:
    assert visitor.post(Authorization=KEY, Host=name).status == 421
    told = dict(visitor.post(Authorization=KEY, Host="Pictures.example:8443").json["headers"])
    assert told["Host"] == told["X-Forwarded-Host"] == "pictures.example:8443"


ELSEWHERE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://guarded1.evil.example"},
    {"Origin": "http://evil.example/guarded1"},
    {"Origin": "http://guarded1:8080"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]
OWN = [
    {},
    {"Origin": "http://guarded1", "Sec_Fetch_Site": "same-origin"},
    {"Origin": "https://guarded1"},
    {"Origin": "https://other.example", "Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "none"},
]
PASSWORD = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"


@pytest.mark.parametrize("path", [PICTURE, OPENAI, "/gradio_api/queue/join", "/sdapi/v1/interrupt"])
def test_a_page_of_another_site_cannot_use_the_password_that_a_browser_knows(
    visitor: Visitor, path: str
) -> None:
    for headers in ELSEWHERE:
        answer = visitor.post(
            path, Authorization=PASSWORD, Host="guarded1", Content_Type="text/plain", **headers
        )
        assert answer.status == 403, headers
        assert "another site" in answer.body.decode()
    for headers in OWN:
        body = '{"session_hash": "x"}'
        assert visitor.post(path, body, Authorization=PASSWORD, Host="guarded1", **headers).status == 200, (
            headers
        )


def test_what_only_reads_and_what_brings_a_key_may_come_from_anywhere(visitor: Visitor) -> None:
    assert visitor.get("/config", Authorization=PASSWORD, Sec_Fetch_Site="cross-site").status == 200
    assert visitor.post(Authorization=KEY, Origin="https://evil.example").status == 200


def test_an_open_service_keeps_pages_of_other_sites_out_as_well(gateway: Client) -> None:
    assert gateway.post(Origin="https://evil.example").status == 403
    assert gateway.post(Origin=f"http://{gateway.address}").status == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/config", PICTURE, "/nothing", "/assets/x.js", "/.git"])
def test_every_answer_tells_browsers_to_be_careful_once(visitor: Visitor, path: str) -> None:
    for headers in ({}, {"Authorization": KEY}):
        answer = visitor.get(path, **headers).headers
        assert answer.get_all("X-Content-Type-Options") == ["nosniff"]
        assert answer.get_all("Referrer-Policy") == ["same-origin"]
        assert answer.get_all("Content-Security-Policy") == ["frame-ancestors 'self'"]
        assert answer["Server"] == "nginx"


SLOW = {
    "head": b"POST / HTTP/1.1\r\nHost: guarded1\r\nX-A: ",
    "body": head(HOST, "Content-Length: 1000"),
}


@pytest.mark.parametrize("part", SLOW)
def test_a_client_that_does_not_send_on_is_cut(visitor: Visitor, part: str) -> None:
    begin = monotonic()
    answer = visitor.raw(SLOW[part])
    assert answer == b"" or b" 408 " in answer.splitlines()[0]
    assert 1.5 < monotonic() - begin < 6


def test_two_hundred_slow_clients_are_not_noticed(new_visitor: Callable[[], Visitor]) -> None:
    visitor = new_visitor()
    slow = [socket.create_connection((visitor.address, 80), timeout=10) for _ in range(200)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(SLOW["head" if number % 2 else "body"])
        times = []
        for _ in range(10):
            begin = monotonic()
            assert visitor.post(Authorization=KEY).status == 200
            times.append(monotonic() - begin)
        assert max(times) < 1
    finally:
        for connection in slow:
            connection.close()
