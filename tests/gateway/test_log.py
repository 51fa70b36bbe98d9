"""What the agent reads in Nginx's access log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from z_image_turbo_gateway.connections import endpoint
from z_image_turbo_gateway.log import LogReader, Try, tries_of

if TYPE_CHECKING:
    from pathlib import Path


def line(
    uri: str = "/sdapi/v1/txt2img",
    upstream: str = "10.0.0.1:7861",
    status: str = "200",
    method: str = "POST",
) -> str:
    entry = {"uri": uri, "upstream": upstream, "upstream_status": status, "method": method}
    return json.dumps(entry) + "\n"


@pytest.mark.parametrize(
    ("upstream", "status", "tries"),
    [
        ("10.0.0.1:7861", "200", [("10.0.0.1:7861", False)]),
        ("10.0.0.1:7861", "500", [("10.0.0.1:7861", True)]),
        ("10.0.0.1:1 : 10.0.0.2:2", "500 : 200", [("10.0.0.1:1", True), ("10.0.0.2:2", False)]),
        ("10.0.0.1:1, 10.0.0.2:2", "502, 200", [("10.0.0.2:2", False)]),
        ("[2001:db8::1]:1 : [::2]:2", "500 : 422", [("[2001:db8::1]:1", True), ("[::2]:2", False)]),
        ("10.0.0.1:7861", "503", []),
        ("10.0.0.1:7861", "-", []),
        ("", "", []),
    ],
)
def test_every_try_of_a_request_is_seen(upstream: str, status: str, tries: list[tuple[str, bool]]) -> None:
    found = list(tries_of(line(upstream=upstream, status=status).encode()))
    assert found == [Try(address, failed, session=False) for address, failed in tries]


def test_a_sessions_requests_are_told_from_single_ones() -> None:
    (one,) = tries_of(line("/gradio_api/queue/join?x=1").encode())
    assert one == Try("10.0.0.1:7861", failed=False, session=True)
    assert list(tries_of(line("/assets/x.js", method="GET").encode())) == []
    assert list(tries_of(line("/sdapi/v1/options", method="GET", status="500").encode())) == []


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"uri": "/"}', "null"])
def test_what_is_no_line_of_ours_is_passed_by(text: str) -> None:
    assert list(tries_of(text.encode())) == []


def test_the_log_is_read_once_from_the_end_and_past_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(line(status="500"))
    reader = LogReader(path)
    assert list(reader.tries()) == []
    with path.open("a") as log:
        log.write(line(upstream="10.0.0.2:1") + line(upstream="10.0.0.3:1")[:20])
    assert [one.endpoint for one in reader.tries()] == ["10.0.0.2:1"]
    with path.open("a") as log:
        log.write(line(upstream="10.0.0.3:1")[20:])
    assert [one.endpoint for one in reader.tries()] == ["10.0.0.3:1"]
    path.rename(tmp_path / "access.log.1")
    assert list(reader.tries()) == []
    path.write_text(line(upstream="10.0.0.4:1"))
    assert [one.endpoint for one in reader.tries()] == ["10.0.0.4:1"]


def test_a_log_that_appears_later_is_read(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "access.log")
    assert list(reader.tries()) == []
    (tmp_path / "access.log").write_text(line())
    assert len(list(reader.tries())) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0100007F:1EB5", "127.0.0.1:7861"),
        ("B80D0120000000000000000001000000:1EB5", "[2001:db8::1]:7861"),
    ],
)
def test_the_kernels_addresses_are_read(written: str, meant: str) -> None:
    assert endpoint(written) == meant
