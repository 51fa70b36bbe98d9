"""What every answer carries, what instances are told, and what nobody outside is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conftest import PICTURE, PORTS, Client

if TYPE_CHECKING:
    from testinfra.host import Host

OPENAI = "/v1/images/generations"


@pytest.mark.parametrize("path", ["/", "/healthz", "/config", "/metrics", PICTURE, OPENAI, "/nothing"])
def test_every_answer_names_its_request_and_its_instance_once(
    gateway: Client, path: str, request_id: str
) -> None:
    answer = gateway.get(path, X_Request_Id=request_id)
    assert answer.headers.get_all("X-Request-Id") == [request_id]
    (served_by,) = answer.headers.get_all("X-Served-By")
    assert served_by in {*PORTS, "gateway"}
    assert (served_by == "gateway") == (path in ("/healthz", "/metrics"))


@pytest.mark.parametrize("given", ["", "two words", '"quoted"', "x" * 129, "a;b", "<script>"])
def test_what_is_no_identifier_is_replaced(gateway: Client, given: str) -> None:
    answer = gateway.get("/", X_Request_Id=given)
    (used,) = answer.headers.get_all("X-Request-Id")
    assert used != given
    assert len(used) == 32
    assert dict(answer.json["headers"])["X-Request-Id"] == used


def test_instances_are_told_the_truth_about_the_client(gateway: Client) -> None:
    answer = gateway.get(
        "/",
        Host="pictures.example:8443",
        X_Forwarded_For="1.2.3.4",
        X_Forwarded_Host="evil",
        X_Forwarded_Proto="https",
        X_Principal="somebody-else",
    )
    told = answer.json["headers"]
    names = [name.lower() for name, _ in told]
    headers = {name.lower(): value for name, value in told}
    assert len(names) == len(set(names))
    assert headers["host"] == headers["x-forwarded-host"] == "pictures.example:8443"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-for"] not in ("1.2.3.4", "")
    assert "," not in headers["x-forwarded-for"]
    assert "x-principal" not in headers


@pytest.mark.parametrize("full", PORTS)
def test_the_key_by_which_a_repeated_request_is_known_reaches_the_instance(
    gateway: Client, full: str
) -> None:
    told = dict(gateway.post(OPENAI, X_Behave=f"{full}=full", Idempotency_Key="order-4711").json["headers"])
    assert told["Idempotency-Key"] == "order-4711"


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/x/../metrics",
        "/x/..%2fmetrics",
        "/monitoring",
        "/monitoring/summary",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
    ],
)
def test_what_is_for_the_operator_is_closed(gateway: Client, path: str) -> None:
    assert gateway.get(path).status == 404


def test_health_needs_no_instance_and_readiness_does(gateway: Client) -> None:
    assert (gateway.get("/healthz").status, gateway.get("/healthz").body) == (200, b"ok\n")
    assert gateway.get("/readyz").headers["X-Served-By"] in PORTS
    assert gateway.get("/readyz", X_Behave="backend1-a=full,backend1-b=full").status == 200
    assert gateway.get("/readyz", X_Behave="all=full").status == 503


def test_a_request_is_one_line_of_json_in_the_log(gateway: Client, machine: Host, request_id: str) -> None:
    gateway.post(X_Request_Id=request_id, User_Agent='quote " and \\ and é'.encode().decode("latin-1"))
    (line,) = machine.run(f"grep -F {request_id} /var/log/nginx/access.log").stdout.splitlines()
    logged = json.loads(line)
    assert (logged["status"], logged["method"], logged["uri"]) == ("200", "POST", PICTURE)
    assert logged["instance"] in PORTS
    assert float(logged["seconds"]) + 0.002 >= float(logged["upstream_seconds"]) >= 0  # they are rounded
    assert logged["principal"] == ""
    assert logged["port"] == "80"


def test_the_log_is_rotated(machine: Host) -> None:
    plan = machine.run("logrotate -d /etc/logrotate.conf")
    assert "considering log /var/log/nginx/access.log" in plan.stdout + plan.stderr


def test_the_size_of_the_log_is_looked_at_each_hour(machine: Host) -> None:
    assert machine.run("grep maxsize /etc/logrotate.d/nginx").stdout.split() == ["maxsize", "500M"]
    hours = machine.run("systemctl show logrotate.timer --property TimersCalendar").stdout
    assert "OnCalendar=*-*-* *:00:00" in hours
