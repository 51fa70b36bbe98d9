"""The port for the jobs of the instances' own pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import lab
import pytest
from conftest import GATEWAY, PICTURE, PORTS, Client, Visitor, runs_of

if TYPE_CHECKING:
    from testinfra.host import Host

POOL, GUARDED_POOL = (f"http://{lab.address(host)}:7860" for host in (GATEWAY, "guarded1"))
OPENAI = "/v1/images/generations"
ASK = (
    "import sys, urllib.request as u; "
    "r = u.Request(sys.argv[1], b'{{}}', dict(a.split('=', 1) for a in sys.argv[2:])); "
    "print(u.urlopen(r, timeout=20).read().decode())"
)


def ask(backend: Host, path: str, pool: str = POOL, **headers: str) -> dict[str, object]:
    """Have a GPU host send a request to the pool."""
    words = [f"'{name.replace('_', '-')}={value}'" for name, value in headers.items()]
    script = ASK.replace("{{}}", "{}")
    answer = backend.run(f'python3 -c "{script}" {pool}{path} {" ".join(words)}')
    assert answer.rc == 0, answer.stderr
    return dict(json.loads(answer.stdout))


@pytest.mark.usefixtures("gateway")
def test_only_instances_may_use_it() -> None:
    stranger = Client(lab.address(GATEWAY), 7860)
    answer = stranger.post(OPENAI)
    assert answer.status == 403
    assert answer.headers["X-Served-By"] == "gateway"


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("backend", ["backend1", "backend2"])
def test_an_instance_may_and_its_word_on_who_calls_counts(backends: dict[str, Host], backend: str) -> None:
    answer = ask(backends[backend], OPENAI, X_Principal="ann", X_Request_Id="from-a-page")
    told = dict(answer["headers"])  # type: ignore[call-overload]
    assert (told["X-Principal"], told["X-Request-Id"]) == ("ann", "from-a-page")
    assert told["X-Forwarded-For"] == lab.address(backend)


def test_where_users_need_a_password_an_instance_needs_none(backends: dict[str, Host]) -> None:
    told = dict(ask(backends["backend1"], OPENAI, GUARDED_POOL, X_Principal="ann")["headers"])  # type: ignore[call-overload]
    assert told["X-Principal"] == "ann"


def test_nobody_is_taken_for_an_instance_because_a_proxy_says_so(visitor: Visitor) -> None:
    visitor.port = 7860
    assert visitor.post(OPENAI, X_Forwarded_For=lab.address("backend1")).status == 403


@pytest.mark.usefixtures("gateway")
def test_a_job_that_an_instance_loses_is_done_by_another(backends: dict[str, Host], request_id: str) -> None:
    answers = [
        ask(backends["backend1"], PICTURE, X_Behave="backend1-a=drop", X_Request_Id=f"{request_id}-{number}")
        for number in range(3)
    ]
    assert {answer["instance"] for answer in answers} <= {"backend1-b", "backend2-a"}
    assert max(len(runs_of(f"{request_id}-{number}")) for number in range(3)) == 2


@pytest.mark.usefixtures("gateway")
def test_the_log_tells_for_whom_an_instance_asked(
    backends: dict[str, Host], machine: Host, request_id: str
) -> None:
    ask(backends["backend1"], OPENAI, X_Principal="ann", X_Request_Id=request_id)
    (line,) = machine.run(f"grep -F {request_id} /var/log/nginx/access.log").stdout.splitlines()
    assert (json.loads(line)["principal"], json.loads(line)["port"]) == ("ann", "7860")
    assert json.loads(line)["instance"] in PORTS


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("path", ["/", "/config", "/metrics", "/gradio_api/info"])
def test_it_serves_the_apis_and_nothing_else(backends: dict[str, Host], path: str) -> None:
    answer = backends["backend1"].run(
        f"python3 -c \"import urllib.request as u; u.urlopen('{POOL}{path}', timeout=5)\""
    )
    assert "404" in answer.stderr
