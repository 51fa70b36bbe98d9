"""Who calls, and what a caller may do to jobs: take a turn, and give up their own."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.app.conftest import MakeSettings, create, until
from tests.app.fakes import FakeEngine
from z_image_turbo.lifecycle import State
from z_image_turbo.service import Service

OPENAI = "/v1/images/generations"

Calls = Callable[..., Future[Response]]


@pytest.fixture
def service(engine: FakeEngine, settings_for: MakeSettings) -> Service:
    return Service(settings_for(forwarded_allow_ips="10.0.0.1"), engine)


@pytest.fixture
def client_at(service: Service, page_dir: Path) -> Iterator[Callable[[str], TestClient]]:
    """Give a client at an address; 10.0.0.1 is the trusted proxy."""
    app = create(service, page_dir)
    with TestClient(app):
        until(lambda: service.lifecycle.state is State.READY)
        yield lambda address: TestClient(app, client=(address, 1), raise_server_exceptions=False)


@pytest.fixture
def call(client_at: Callable[[str], TestClient]) -> Calls:
    callers = ThreadPoolExecutor(8)

    def later(prompt: str, address: str = "10.0.0.1", **headers: str) -> Future[Response]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return callers.submit(client_at(address).post, OPENAI, json={"prompt": prompt}, headers=named)

    return later


@pytest.mark.parametrize(
    ("address", "headers", "caller"),
    [
        ("10.0.0.1", {"X_Principal": "alice"}, "alice"),
        ("10.0.0.1", {"X_Forwarded_For": "192.0.2.7", "X_Principal": "alice"}, "alice"),
        ("10.0.0.1", {"X_Forwarded_For": "192.0.2.7"}, "192.0.2.7"),
        ("10.0.0.1", {"X_Principal": " "}, "10.0.0.1"),
        ("10.0.0.2", {"X_Principal": "alice", "X_Forwarded_For": "192.0.2.7"}, "10.0.0.2"),
    ],
)
def test_only_a_trusted_proxy_says_who_calls(  # noqa: PLR0913, PLR0917
    service: Service, engine: FakeEngine, call: Calls, address: str, headers: dict[str, str], caller: str
) -> None:
    engine.go.clear()
    answer = call("a cat", address, **headers)
    until(lambda: service.queue.running)
    assert [job.caller for job in service.queue.running] == [caller]
    engine.go.set()
    assert answer.result(20).status_code == 200


def test_a_caller_with_one_job_goes_before_the_second_of_another(
    service: Service, engine: FakeEngine, call: Calls
) -> None:
    engine.go.clear()
    answers = []
    for number, (prompt, caller) in enumerate(
        [("m1", "many"), ("m2", "many"), ("m3", "many"), ("o1", "one")]
    ):
        answers.append(call(prompt, X_Principal=caller))
        until(lambda number=number: service.queue.running and service.queue.depth == number)  # type: ignore[misc]
    engine.go.set()
    assert {answer.result(20).status_code for answer in answers} == {200}
    assert engine.drawn[-4:] == ["m1", "o1", "m2", "m3"]


def test_accept_start_and_end_of_a_job_are_logged_with_the_request_and_the_caller(
    service: Service, call: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert call("a cat", X_Principal="alice", X_Request_Id="r-1").result(20).status_code == 200
    until(lambda: service.queue.idle)
    told = [vars(record) for record in caplog.records if "job" in vars(record)]
    assert {line["message"] for line in told} == {"job accepted", "job started", "job done"}
    assert {(line["request"], line["caller"], line["job"]) for line in told} == {
        ("r-1", "alice", told[0]["job"])
    }


def test_the_operator_takes_the_instance_out_of_service_and_back(
    service: Service, engine: FakeEngine, call: Calls, client_at: Callable[[str], TestClient]
) -> None:
    here = client_at("127.0.0.1")
    engine.go.clear()
    accepted = call("a cat")
    until(lambda: service.queue.running)
    assert [here.post("/drain").json()["status"] for _ in range(2)] == ["paused"] * 2
    assert (here.get("/livez").status_code, here.get("/readyz").status_code) == (200, 503)
    refused = here.post(OPENAI, json={"prompt": "a cat"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "paused")
    engine.go.set()
    assert accepted.result(20).status_code == 200
    assert [here.post("/undrain").json()["status"] for _ in range(2)] == ["ready"] * 2
    assert here.get("/readyz").status_code == 200
    assert here.post(OPENAI, json={"prompt": "a cat"}).status_code == 200


def test_an_instance_that_is_leaving_cannot_be_brought_back(
    service: Service, client_at: Callable[[str], TestClient]
) -> None:
    here = client_at("127.0.0.1")
    here.post("/drain")
    service.begin_drain("told to")
    for path in ("/undrain", "/drain"):
        assert here.post(path).status_code == 409
    assert service.lifecycle.state is State.DRAINING


@pytest.mark.parametrize("path", ["/drain", "/undrain"])
@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("10.0.0.2", {}),
        ("127.0.0.1", {"Origin": "https://elsewhere.example"}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("10.0.0.1", {"X-Forwarded-For": "::1"}),
    ],
)
def test_nobody_else_can(
    client_at: Callable[[str], TestClient], path: str, address: str, headers: dict[str, str]
) -> None:
    client = client_at(address)
    assert client.post(path, headers=headers).status_code == 403
    assert client.get("/readyz").status_code == 200
