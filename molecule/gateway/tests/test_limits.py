"""How much one client may ask for, and that others do not notice."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING

import lab
import pytest
from conftest import PICTURE, Answer, Visitor
from test_identity import ALICE, BOB, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

OPENAI = "/v1/images/generations"
JOIN = "/gradio_api/queue/join"
CAROL = "Bearer zit-carol-0123456789-abcdefghijklmnopqrstuvwxyz"
CAROLS_PASSWORD = "Basic Y2Fyb2w6eHlsb3Bob25lIGluIHRoZSBhdHRpYyA3"
BATCH = "Bearer zit-batch-0123456789-abcdefghijklmnopqrstuvwxyz"
BODY = json.dumps({"session_hash": "limits"})


def statuses(answers: list[Answer]) -> Counter[int]:
    """Count the answers by status."""
    return Counter(answer.status for answer in answers)


@pytest.mark.parametrize(
    "path",
    [
        PICTURE,
        "/sdapi/v1/img2img",
        OPENAI,
        "/v1/images/edits",
        "/images/generations",
        JOIN,
        "/gradio_api/call/x",
        "/gradio_api/run/x",
        "/gradio_api/mcp/",
    ],
)
def test_an_address_that_asks_for_too_many_pictures_is_told_when_to_come_back(
    visitor: Visitor, path: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: visitor.post(path, BODY, Authorization=ALICE), range(30)))
    found = statuses(answers)
    assert found.keys() == {200, 429}
    assert found[200] >= 11
    for answer in answers:
        assert answer.headers.get_all("Retry-After") == (["2"] if answer.status == 429 else None)


def test_each_api_says_it_in_its_own_words(new_visitor: Callable[[], Visitor]) -> None:
    bodies = {}
    for path in (PICTURE, OPENAI, JOIN):
        visitor = new_visitor()
        answers = (visitor.post(path, BODY, Authorization=BOB) for _ in range(60))
        answer = next(answer for answer in answers if answer.status == 429)
        assert answer.headers["Content-Type"] == "application/json"
        bodies[path] = answer.json
    assert bodies[OPENAI]["error"]["type"] == "rate_limit_error"
    assert bodies[OPENAI]["error"]["code"] == "rate_limit_exceeded"
    assert bodies[PICTURE].keys() == {"error", "detail", "body", "errors"}
    assert "Too many requests" in bodies[JOIN]["detail"]


def test_a_user_is_limited_over_all_addresses_and_keys_and_nobody_else_with_him(
    new_visitor: Callable[[], Visitor],
) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = statuses(list(pool.map(lambda _: new_visitor().post(Authorization=CAROL), range(200))))
    assert found.keys() == {200, 429}
    assert found[200] >= 150
    assert new_visitor().post(Authorization=KEY).status == 200


def test_nobody_can_use_up_what_another_user_may(new_visitor: Callable[[], Visitor]) -> None:
    with ThreadPoolExecutor(8) as pool:
        forged = "Basic Y2Fyb2w6d3Jvbmc="  # carol, and a wrong password
        found = statuses(list(pool.map(lambda _: new_visitor().post(Authorization=forged), range(80))))
    assert 200 not in found
    assert new_visitor().post(Authorization=CAROLS_PASSWORD).status == 200


@pytest.mark.parametrize("how", ["address", "user"])
def test_those_on_the_list_have_no_limit(visitor: Visitor, how: str) -> None:
    headers = (
        {"Authorization": ALICE, "X_Forwarded_For": "203.0.113.7"}
        if how == "address"
        else {"Authorization": BATCH}
    )
    count = 39 if how == "address" else 60  # the address is on the list, not the user
    assert statuses([visitor.post(**headers) for _ in range(count)]) == {200: count}


def test_polling_and_the_files_of_a_page_are_hardly_limited(visitor: Visitor) -> None:
    paths = ["/sdapi/v1/progress", "/assets/a.js", "/config"] * 50
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: visitor.get(path, Authorization=ALICE), paths))
    assert statuses(answers) == {200: len(paths)}
    assert {visitor.post("/sdapi/v1/interrupt", Authorization=ALICE).status for _ in range(20)} == {200}


def test_a_client_that_hammers_anything_is_stopped(visitor: Visitor) -> None:
    def hammer(_: int) -> Counter[int]:
        connection = HTTPConnection(visitor.address, 80, timeout=30)
        found: Counter[int] = Counter()
        for _ in range(100):
            connection.request("GET", "/assets/a.js", headers={"X-Forwarded-For": visitor.own_address})
            response = connection.getresponse()
            response.read()
            found[response.status] += 1
        connection.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        found = sum(pool.map(hammer, range(8)), Counter[int]())
    assert found.keys() == {200, 429}
    assert visitor.get("/healthz").status == 200, "whoever watches the gateway was shut out"


@pytest.fixture
def open_streams() -> Iterator[Callable[[Visitor, str], int]]:
    """Return a function that opens an event stream and leaves it open; it returns the status."""
    connections = []

    def open_one(visitor: Visitor, credentials: str) -> int:
        connection = HTTPConnection(visitor.address, 80, timeout=10)
        connections.append(connection)
        headers = {"X-Forwarded-For": visitor.own_address, "Authorization": credentials}
        connection.request("GET", "/gradio_api/queue/data?session_hash=limits", headers=headers)
        return connection.getresponse().status

    yield open_one
    for connection in connections:
        connection.close()


def test_a_user_holds_only_so_many_streams_open(
    new_visitor: Callable[[], Visitor], open_streams: Callable[[Visitor, str], int]
) -> None:
    for _ in range(6):  # until each instance knows the session
        new_visitor().post(JOIN, BODY, Authorization=BATCH)
    found = Counter(open_streams(new_visitor(), CAROL) for _ in range(6))
    assert found == {200: 3, 429: 3}
    assert open_streams(new_visitor(), KEY) == 200


def test_a_flood_is_cut_and_its_neighbour_is_not_slowed(
    new_visitor: Callable[[], Visitor], guarded: Host, request_id: str
) -> None:
    flooder, neighbour = new_visitor(), new_visitor()

    def pictures(name: str) -> float:
        """Have the neighbour ask for pictures of a second each; return what the gateway says they took."""
        request = f"{request_id}-{name}"
        answers = [
            neighbour.post(Authorization=BOB, X_Behave="all=slow", X_Request_Id=request) for _ in range(5)
        ]
        assert statuses(answers) == {200: 5}
        lines = guarded.run(f"grep -F {request} /var/log/nginx/access.log").stdout.splitlines()
        return median(float(json.loads(line)["seconds"]) for line in lines)

    def flood(seconds: float) -> list[Answer]:
        begin = monotonic()
        with ThreadPoolExecutor(32) as pool:
            sent = []
            for number in range(int(seconds * 50)):
                sent.append(pool.submit(flooder.post, OPENAI, Authorization=KEY))
                sleep(max(0.0, begin + number / 50 - monotonic()))
            return [answer.result() for answer in sent]

    calm = pictures("calm")
    with ThreadPoolExecutor(1) as pool:
        flooded = pool.submit(flood, 6)
        during = pictures("flooded")
        found = statuses(flooded.result())
    assert found.keys() == {200, 429}
    assert found[429] > 200
    assert during < 1.2 * calm


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Forwarded", "X-Gateway-Client", "Client-IP"]
)
def test_an_address_cannot_be_forged_without_a_proxy_that_is_trusted(
    backends: dict[str, Host], name: str
) -> None:
    address = lab.address("guarded1")
    curl = f"curl -s -o /dev/null -w '%{{http_code}} ' -H 'Authorization: {BATCH}'"
    forged = backends["backend1"].run(
        f"curl -s -H 'Authorization: {BATCH}' -H '{name}: 203.0.113.7' -d x http://{address}{PICTURE}"
    )
    assert dict(json.loads(forged.stdout)["headers"])["X-Forwarded-For"] == lab.address("backend1")
    once = f"{curl.replace(BATCH, ALICE)} -H '{name}: 203.0.113.7' -d x http://{address}{PICTURE}"
    tries = f"for i in $(seq 16); do {once}; done"
    assert "429" in backends["backend1"].run(tries).stdout


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.7, 198.51.100.7", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("198.51.100.7, {proxy}", "198.51.100.7"),
    ],
)
def test_a_trusted_proxy_says_who_its_client_is_and_a_client_cannot_add_to_it(
    visitor: Visitor, said: str, taken: str
) -> None:
    proxy = f"{lab.NETWORK}.1"
    answer = visitor.post(
        Authorization=BATCH, X_Forwarded_For=said.format(proxy=proxy), X_Forwarded_Proto="https"
    )
    headers = dict(answer.json["headers"])
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == (taken, "https")


def test_the_addresses_of_one_ipv6_network_are_one_client(new_visitor: Callable[[], Visitor]) -> None:
    def ask(host: int) -> int:
        return new_visitor().post(Authorization=ALICE, X_Forwarded_For=f"2001:db8:5:6:7:8:9:{host:x}").status

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(ask, range(1, 31))).keys() == {200, 429}
