"""The page: a session stays with one instance, and meets one stand-in while that is away."""

from __future__ import annotations

import itertools
import json
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from conftest import PICTURE, PORTS, Answer, Client

if TYPE_CHECKING:
    from collections.abc import Callable

Message = tuple[float, dict[str, object]]
COOKIE = "z_image_turbo_instance"
FILES = "/gradio_api/file=/var/lib/z-image-turbo/files"


def cookie_of(answer: Answer) -> str | None:
    """Return the instance that the gateway binds the session to, if it says so."""
    header = answer.headers["Set-Cookie"]
    return SimpleCookie(header)[COOKIE].value if header else None


def join(gateway: Client, instance: str, session: str) -> str:
    """Queue a job and return the instance that took it."""
    body = json.dumps({"session_hash": session})
    answer = gateway.post("/gradio_api/queue/join", body, Cookie=f"{COOKIE}={instance}")
    assert answer.status == 200
    return answer.instance


def messages(
    gateway: Client, instance: str, session: str, count: int = 99
) -> list[tuple[float, dict[str, object]]]:
    """Read messages of a stream, each with the time it took to arrive."""
    connection = HTTPConnection(gateway.address, 80, timeout=10)
    begin = monotonic()
    headers = {"Cookie": f"{COOKIE}={instance}", "Accept-Encoding": "gzip, br", "Accept": "text/event-stream"}
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}", headers=headers)
    response = connection.getresponse()
    assert response.headers["Content-Encoding"] is None
    found = []
    while len(found) < count and (line := response.readline()):
        if line.startswith(b"data: "):
            found.append((monotonic() - begin, json.loads(line[6:])))
    connection.close()
    return found


def test_a_session_stays_with_its_instance(gateway: Client) -> None:
    first = gateway.get("/")
    assert cookie_of(first) == first.instance
    for _ in range(12):
        answer = gateway.get("/config", Cookie=f"{COOKIE}={first.instance}")
        assert answer.instance == first.instance
        assert cookie_of(answer) is None


def test_new_sessions_are_spread(gateway: Client) -> None:
    assert {gateway.get("/").instance for _ in range(12)} == set(PORTS)


def test_the_cookie_is_for_the_page_alone_and_hidden_from_scripts(gateway: Client) -> None:
    morsel = SimpleCookie(gateway.get("/").headers["Set-Cookie"])[COOKIE]
    assert (morsel["path"], morsel["httponly"], morsel["samesite"]) == ("/", True, "Lax")
    assert gateway.post(PICTURE).headers["Set-Cookie"] is None
    assert gateway.get("/healthz").headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    "forged", ["nobody", "", "ui_new", "api", "127.0.0.1:22", "../../x", "a" * 3000, '"{$host}"']
)
def test_a_forged_cookie_gives_a_new_session(gateway: Client, forged: str) -> None:
    answer = gateway.get("/", Cookie=f"{COOKIE}={forged}")
    assert answer.status == 200
    assert answer.instance in PORTS
    assert cookie_of(answer) == answer.instance


@pytest.mark.parametrize("away", PORTS)
def test_a_client_with_a_fixed_cookie_meets_one_stand_in(
    gateway: Client, stopped: Callable[[str], None], away: str
) -> None:
    stopped(away)
    stand_ins = set()
    for number in range(12):
        session = f"{away}-{number}"
        joined = join(gateway, away, session)
        ((_, message),) = messages(gateway, away, session, count=1)
        assert message["msg"] == "progress", (
            "the stream was asked of another instance than the job was given to"
        )
        assert message["instance"] == joined
        stand_ins.add(joined)
    (stand_in,) = stand_ins
    assert stand_in[:-2] != away[:-2], "the stand-in is on the same host"


def test_a_browser_moves_to_the_stand_in_with_its_cookie(
    gateway: Client, stopped: Callable[[str], None]
) -> None:
    stopped("backend2-a")
    answer = gateway.get("/", Cookie=f"{COOKIE}=backend2-a")
    assert answer.status == 200
    assert cookie_of(answer) == answer.instance != "backend2-a"


def test_messages_of_a_stream_arrive_one_by_one(gateway: Client) -> None:
    join(gateway, "backend1-b", "streamed")
    times = [time for time, _ in messages(gateway, "backend1-b", "streamed")]
    assert len(times) == 4
    assert times[0] < 0.35
    assert all(later - earlier > 0.2 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("host", ["backend1", "backend2"])
@pytest.mark.parametrize("cookie", PORTS)
def test_a_file_is_asked_of_the_host_that_its_path_names(gateway: Client, host: str, cookie: str) -> None:
    for name in ("0a1b/picture.png", "0a1b/%E5%9B%BE.png"):
        answer = gateway.get(f"{FILES}/{host}/{name}", Cookie=f"{COOKIE}={cookie}")
        assert answer.instance.startswith(host)
        assert answer.json["path"] == f"{FILES}/{host}/{name}"
        assert cookie_of(answer) is None


@pytest.mark.parametrize("away", ["backend1-a", "backend1-b"])
def test_a_file_is_served_by_the_other_instance_of_its_host(
    gateway: Client, stopped: Callable[[str], None], away: str
) -> None:
    stopped(away)
    for _ in range(6):
        answer = gateway.get(f"{FILES}/backend1/0a1b/picture.png", Cookie=f"{COOKIE}={away}")
        assert answer.instance == ("backend1-b" if away.endswith("a") else "backend1-a")


def test_scripts_of_the_page_come_from_the_cache(gateway: Client, request_id: str) -> None:
    path = f"/assets/{request_id}.js"
    answers = [gateway.get(path) for _ in range(5)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert answers[0].headers["X-Served-By"] in PORTS
    assert {answer.headers["X-Served-By"] for answer in answers[1:]} == {"gateway"}
    assert gateway.get(path, Accept_Encoding="gzip").headers["Content-Encoding"] == "gzip"


def test_an_upgrade_is_passed_on_only_where_it_is_asked_for(gateway: Client) -> None:
    asked = dict(gateway.get("/", Connection="Upgrade", Upgrade="websocket").json["headers"])
    assert (asked["Connection"].lower(), asked["Upgrade"]) == ("upgrade", "websocket")
    plain = dict(gateway.get("/").json["headers"])
    assert not plain.keys() & {"Connection", "Upgrade"}


@pytest.mark.parametrize("version", ["", "v2/"])
@pytest.mark.parametrize("separator", ["~", "%7E"])
@pytest.mark.parametrize("cookie", ["", "backend2-a"])
def test_an_event_is_asked_of_the_instance_that_its_id_names(
    gateway: Client, version: str, separator: str, cookie: str
) -> None:
    for name in PORTS:
        path = f"/gradio_api/call/{version}generate/{name}{separator}0123abcdef"
        answer = gateway.get(path, **({"Cookie": f"{COOKIE}={cookie}"} if cookie else {}))
        assert answer.instance == name
        assert cookie_of(answer) is None, "the session of the browser does not move"


@pytest.mark.parametrize("event", ["nobody~0123", "0123abcdef", "../backend1-a~0123", "~0123"])
def test_an_event_id_that_names_no_instance_goes_by_the_cookie_or_to_anybody(
    gateway: Client, event: str
) -> None:
    assert gateway.get(f"/gradio_api/call/generate/{event}").instance in PORTS


def test_a_finished_picture_is_fetched_once_and_then_comes_from_the_gateway(
    gateway: Client, request_id: str
) -> None:
    digest = request_id.removeprefix("test-").ljust(64, "0")
    path = f"{FILES}/backend1/{digest}/image.png"
    answers = [gateway.get(path) for _ in range(4)]
    assert [answer.headers["X-Served-By"].removesuffix("-a").removesuffix("-b") for answer in answers] == [
        "backend1",
        *["gateway"] * 3,
    ]
    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"private, max-age=86400, immutable"}


@pytest.mark.parametrize("name", ["image.html", "image.svg", "image.png/x", "image"])
def test_other_files_are_never_kept(gateway: Client, request_id: str, name: str) -> None:
    path = f"{FILES}/backend1/{request_id.removeprefix('test-').ljust(64, '0')}/{name}"
    assert {gateway.get(path).headers["X-Served-By"][:8] for _ in range(3)} == {"backend1"}
