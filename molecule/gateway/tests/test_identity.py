"""Who may call, what an instance is told of it, and what a wrong password costs."""

from __future__ import annotations

import json
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import lab
import pytest
import yaml
from conftest import PICTURE, PORTS, Visitor, play, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

OPENAI = "/v1/images/generations"
KEY = "Bearer zit-alice-0123456789-abcdefghijklmnopqrstuvwxyz"
SECOND_KEY = "Bearer zit-alice-second-0123456789-abcdefghijklmnop"
USERS: list[dict[str, Any]] = yaml.safe_load((lab.INVENTORY / "host_vars" / "guarded1.yml").read_text())[
    "gateway_users"
]


def login(name: str, password: str) -> str:
    """Return the header of a name and password."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


ALICE = login("alice", "correct horse battery")
BOB = login("bob@example.org", "bobs:own password")


def told(visitor: Visitor, path: str = PICTURE, **headers: str) -> dict[str, list[str]]:
    """Return the headers that an instance is told, by name in small letters."""
    answer = visitor.post(path, **headers)
    assert answer.status == 200, answer.body
    found: dict[str, list[str]] = {}
    for name, value in answer.json["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


@pytest.mark.parametrize(
    ("credentials", "principal"),
    [
        (ALICE, "alice"),
        (KEY, "alice"),
        (SECOND_KEY, "alice"),
        (BOB, "bob@example.org"),
        (KEY.replace("Bearer", "bearer"), "alice"),
    ],
)
@pytest.mark.parametrize("path", [PICTURE, OPENAI, "/gradio_api/call/generate", "/config"])
def test_password_and_key_are_the_same_user_in_every_api(
    visitor: Visitor, credentials: str, principal: str, path: str
) -> None:
    headers = told(visitor, path, Authorization=credentials)
    assert headers["x-principal"] == [principal]
    assert "authorization" not in headers


@pytest.mark.parametrize("name", ["X-Principal", "x-principal", "X-PRINCIPAL", "X_Principal"])
def test_nobody_can_say_who_he_is_by_a_header(visitor: Visitor, name: str) -> None:
    raw = f"POST {PICTURE} HTTP/1.1\r\nHost: guarded1\r\nContent-Length: 2\r\nAuthorization: {ALICE}\r\n"
    raw += f"X-Forwarded-For: {visitor.own_address}\r\n"
    raw += f"{name}: mallory\r\n{name}: eve\r\nConnection: close\r\n\r\n{{}}"
    answer = visitor.raw(raw.encode())
    assert b"200 OK" in answer
    assert b'["X-Principal", "alice"]' in answer
    assert b"mallory" not in answer
    assert b"eve" not in answer
    assert visitor.get("/readyz", X_Principal="mallory").headers["X-Served-By"] in PORTS


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer",
        "Bearer ",
        "Bearer zit-alice",
        "Bearer alice",
        f"Bearer {'x' * 300}",
        KEY.replace("Bearer", "Basic"),
        KEY.upper(),
        KEY + "x",
        login("alice", "wrong password"),
        login("alice", ""),
        login("", ""),
        login("nobody", "correct horse battery"),
        login("batch", ""),
        login("alice\n", "correct horse battery"),
        'Digest username="alice"',
    ],
)
def test_without_right_credentials_nothing_reaches_an_instance(visitor: Visitor, credentials: str) -> None:
    for path in ("/", "/config", PICTURE, OPENAI, "/gradio_api/queue/join", "/gradio_api/file=/x"):
        answer = visitor.post(path, Authorization=credentials)
        assert answer.status == 401
        assert answer.headers["X-Served-By"] == "gateway"
        assert len(answer.headers.get_all("WWW-Authenticate") or []) == 1


def test_each_api_says_in_its_own_words_that_credentials_are_wrong(visitor: Visitor) -> None:
    for credentials in ({}, {"Authorization": "Bearer wrong"}):
        sdapi, openai, page = (visitor.post(path, **credentials) for path in (PICTURE, OPENAI, "/config"))
        assert sdapi.json.keys() == {"error", "detail", "body", "errors"}
        assert openai.json["error"]["code"] == "invalid_api_key"
        assert openai.headers["WWW-Authenticate"].startswith("Bearer ")
        assert page.headers["WWW-Authenticate"].startswith("Basic ")


def test_health_and_what_a_browser_asks_for_without_a_password_are_open(visitor: Visitor) -> None:
    for path in ("/healthz", "/readyz", "/manifest.json", "/assets/x.js"):
        assert visitor.get(path).status == 200


def test_a_picture_that_is_made_at_the_second_instance_has_the_same_user(visitor: Visitor) -> None:
    for name in PORTS:
        assert told(visitor, Authorization=ALICE, X_Behave=f"{name}=full")["x-principal"] == ["alice"]


def test_the_log_names_the_user_and_no_secret(visitor: Visitor, guarded: Host, request_id: str) -> None:
    for credentials in (ALICE, KEY, login("alice", "a wrong password")):
        visitor.post(Authorization=credentials, X_Request_Id=request_id)
    lines = [
        json.loads(line)
        for line in guarded.run(f"grep -F {request_id} /var/log/nginx/access.log").stdout.splitlines()
    ]
    assert [(line["status"], line["principal"], line["client"]) for line in lines] == [
        ("200", "alice", visitor.own_address),
        ("200", "alice", visitor.own_address),
        ("401", "", visitor.own_address),
    ]
    for secret in ("zit-alice", "correct horse", ALICE.split()[1]):
        assert guarded.run(f"grep -raF '{secret}' /var/log/nginx /var/cache/nginx /etc/nginx").rc == 1


def test_credentials_are_hashed_and_readable_by_nginx_alone(guarded: Host) -> None:
    for pattern, owner, mode in (
        ("passwords", "www-data", 0o640),
        ("keys", "root", 0o600),
        ("secret", "root", 0o600),
    ):
        (path,) = guarded.run(f"ls -d /etc/nginx/gateway-{pattern}*").stdout.split()
        file = guarded.file(path)
        assert (file.user, file.group, file.mode) == ("root", owner, mode)
        assert guarded.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups cat {path}").rc != 0


def test_guessing_passwords_is_slowed_and_does_not_lock_out_who_is_in(
    visitor: Visitor, new_visitor: Callable[[], Visitor]
) -> None:
    assert visitor.get("/config", Authorization=ALICE).status == 200
    answers = [
        visitor.get("/config", Authorization=login("alice", f"guess {number}")) for number in range(40)
    ]
    refused = [answer for answer in answers if answer.status == 429]
    assert 20 <= sum(answer.status == 401 for answer in answers) <= 30
    assert len(refused) >= 10
    assert {answer.headers["Retry-After"] for answer in refused} == {"10"}
    assert visitor.get("/config", Authorization=login("bob@example.org", "the next guess")).status == 429
    assert visitor.get("/config", Authorization=ALICE).status == 200, "a login that is known was locked out"
    assert visitor.get("/config", Authorization=KEY).status == 200, "a key was locked out"
    assert new_visitor().get("/config", Authorization=BOB).status == 200, "another address was locked out"


def test_one_wrong_password_that_a_program_repeats_counts_once(visitor: Visitor) -> None:
    stubborn = login("alice", f"the password of {visitor.own_address}")
    assert {visitor.get("/config", Authorization=stubborn).status for _ in range(40)} == {401}
    assert visitor.get("/config", Authorization=BOB).status == 200


def test_wrong_passwords_do_not_stall_the_others(new_visitor: Callable[[], Visitor]) -> None:
    def slowest() -> float:
        times = []
        for _ in range(40):
            begin = monotonic()
            assert calm.get("/healthz").status == 200
            times.append(monotonic() - begin)
        return max(times)

    calm, attackers = new_visitor(), [new_visitor() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        flood = [
            pool.submit(
                lambda a=a: [a.get("/config", Authorization=login("alice", f"{n}")) for n in range(60)]
            )
            for a in attackers
        ]
        assert slowest() < 0.5
    assert {answer.status for done in flood for answer in done.result()} == {401, 429}


def users_as(*users: dict[str, Any]) -> tuple[str, str]:
    """Return the arguments that give the role other users."""
    return "-e", json.dumps({"gateway_users": users})


CONFIGURE = ("--tags", "gateway_configure")


def test_a_key_is_rotated_without_a_lost_request_and_the_old_one_is_refused_at_once(visitor: Visitor) -> None:
    new = "zit-alice-new-9876543210-abcdefghijklmnopqrstuvw"
    alice, *others = USERS
    try:
        with ThreadPoolExecutor(1) as pool:
            rollout = pool.submit(
                play,
                *CONFIGURE,
                *users_as({**alice, "api_keys": [KEY.split()[1], new]}, *others),
                host="guarded1",
            )
            statuses = set()
            while not rollout.done():
                statuses.add(visitor.get("/config", Authorization=KEY).status)
                sleep(0.05)  # below the limit of requests
            assert rollout.result()[0] == 0, rollout.result()[1]
        assert statuses == {200}
        assert visitor.get("/config", Authorization=f"Bearer {new}").status == 200
        assert visitor.get("/config", Authorization=ALICE).status == 200
        status, said = play(
            *CONFIGURE, *users_as({"name": "alice", "api_keys": [new]}, *others), host="guarded1"
        )
        assert status == 0, said
        for gone in (KEY, SECOND_KEY, ALICE):
            wait_until(lambda gone=gone: visitor.get("/config", Authorization=gone).status == 401, seconds=5)
        assert visitor.get("/config", Authorization=f"Bearer {new}").status == 200
    finally:
        status, said = play(*CONFIGURE, host="guarded1")
        assert status == 0, said


def test_wrong_users_are_refused_before_the_host_is_touched_and_no_secret_is_shown() -> None:
    secret = "Sesame-opens-it-4711"
    wrong = users_as(
        {"name": "a:b", "password": secret},
        {"name": "carol", "password": "short-Sesame"[:8]},
        {"name": "dave", "api_keys": [secret, secret * 2 + "\n"]},
    )
    status, said = play("-vvv", *CONFIGURE, *wrong, host="guarded1")
    assert status != 0
    assert "changed=0" in said
    for reason in (
        "guarded1: gateway_users[0].name: use 1 to 64 letters",
        "guarded1: gateway_users[1].password (carol) has 8 characters",
        "guarded1: gateway_users[2].api_keys[0] (dave) has 20 characters",
    ):
        assert reason in said
    assert "opens-it" not in said.replace(wrong[1], "")
