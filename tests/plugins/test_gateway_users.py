"""The promises of the users of a gateway."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import pytest

from plugins.filter.gateway_users import gateway_key_map, gateway_password_file, gateway_user_errors

PASSWORD = "correct horse battery"
KEY = "zit-0123456789abcdefghijklmnopqrstuvwxyz"
BCRYPT = "$2y$05$" + "a" * 53
SHA512 = "$6$0123456789abcdef$" + "b" * 86


def user(**more: Any) -> dict[str, Any]:
    return {"name": "alice", "password": PASSWORD, **more}


def test_good_users_have_no_errors() -> None:
    users = [
        user(api_keys=[KEY, "sha256:" + "0" * 64], unlimited=True),
        {"name": "bob@example.org", "password_hash": BCRYPT},
        {"name": "c.d_e-f", "password_hash": SHA512},
        {"name": "batch", "api_keys": [KEY + "x"]},
    ]
    assert gateway_user_errors(users) == []
    assert gateway_user_errors([]) == []


@pytest.mark.parametrize(
    ("wrong", "where", "reason"),
    [
        ("Sesame", "gateway_users[0]", "of type str"),
        (user(name="a:b"), "gateway_users[0].name", "letters, digits"),
        (user(name="a\nb"), "gateway_users[0].name", "letters, digits"),
        (user(name='a"; b'), "gateway_users[0].name", "letters, digits"),
        (user(name="a" * 65), "gateway_users[0].name", "1 to 64"),
        (user(name=7), "gateway_users[0].name", "letters, digits"),
        ({"password": PASSWORD}, "gateway_users[0].name", "letters, digits"),
        ({"name": "alice"}, "gateway_users[0] (alice)", "give a password"),
        (user(pasword="Sesame-4711-x"), "gateway_users[0] (alice)", "unknown key 'pasword'"),
        (user(password_hash=BCRYPT), "gateway_users[0] (alice)", "either"),
        (user(password="Sesame-4711"), "gateway_users[0].password (alice)", "has 11 characters"),
        (user(password="Sesame" * 30), "gateway_users[0].password (alice)", "has 180 characters"),
        (user(password="Sesame\n4711-xyz"), "gateway_users[0].password (alice)", "printable ASCII"),
        (user(password="Sésame-4711-xyz"), "gateway_users[0].password (alice)", "printable ASCII"),
        (user(password="alice-Sesame-4711"), "gateway_users[0].password (alice)", "too easy"),
        (user(password="SeSeSeSeSeSeSeSe"), "gateway_users[0].password (alice)", "too easy"),
        (user(password="please CHANGE ME now"), "gateway_users[0].password (alice)", "placeholder"),
        (user(password=471147114711), "gateway_users[0].password (alice)", "in quotes"),
        (user(api_keys=KEY), "gateway_users[0].api_keys (alice)", "list"),
        (user(api_keys=["Sesame-4711"]), "gateway_users[0].api_keys[0] (alice)", "has 11 characters"),
        (user(api_keys=[KEY, f"{KEY} "]), "gateway_users[0].api_keys[1] (alice)", "letters, digits"),
        (user(api_keys=[f'{KEY}";']), "gateway_users[0].api_keys[0] (alice)", "letters, digits"),
        (user(api_keys=["Ses" * 20]), "gateway_users[0].api_keys[0] (alice)", "too easy"),
        (user(api_keys=["zit-CHANGE-ME" * 3]), "gateway_users[0].api_keys[0] (alice)", "placeholder"),
        (user(api_keys=["sha256:Sesame"]), "gateway_users[0].api_keys[0] (alice)", "64 digits"),
        (user(api_keys=[7]), "gateway_users[0].api_keys[0] (alice)", "in quotes"),
        (user(unlimited=True), "gateway_users[0].unlimited (alice)", "API key"),
        (user(unlimited="yes", api_keys=[KEY]), "gateway_users[0].unlimited (alice)", "true or false"),
    ],
)
def test_each_fault_is_named_with_its_place_and_reason_and_without_the_secret(
    wrong: Any, where: str, reason: str
) -> None:
    (error,) = gateway_user_errors([wrong])
    assert error.startswith(where)
    assert reason in error
    assert "Ses" not in error
    assert KEY not in error


@pytest.mark.parametrize(
    "hashed",
    [
        "$apr1$abcdefgh$" + "a" * 22,
        "{SHA}" + "a" * 28,
        "{PLAIN}Sesame-4711",
        "$1$abcdefgh$" + "a" * 22,
        "$5$abcdefgh$" + "a" * 43,
        "$2y$10$" + "a" * 53,
        "$2y$12$" + "a" * 53,
        "$6$rounds=100000$0123456789abcdef$" + "b" * 86,
        "$y$j9T$" + "a" * 60,
        "Sesame-4711-xyz",
        "",
        None,
        f"{SHA512}\nmallory:x",
    ],
)
def test_hashes_that_are_weak_or_stall_the_gateway_are_refused(hashed: Any) -> None:
    errors = gateway_user_errors([{"name": "alice", "password_hash": hashed, "api_keys": [KEY]}])
    assert len(errors) == 1
    assert "SHA-512-crypt" in errors[0]
    assert "Sesame" not in errors[0]


def test_a_name_and_a_key_are_one_users_alone() -> None:
    same_name = [user(), user()]
    assert gateway_user_errors(same_name) == ["gateway_users: the name alice is there 2 times"]
    hashed = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
    for key in (KEY, hashed):
        (error,) = gateway_user_errors([user(api_keys=[KEY]), user(name="bob", api_keys=[key])])
        assert error.startswith("gateway_users[1].api_keys[0] (bob): it is the same key as gateway_users[0]")


def test_something_else_than_a_list_is_refused() -> None:
    assert gateway_user_errors("Sesame") == ["gateway_users is of type str: give a list of users"]
    assert gateway_user_errors(None) == ["gateway_users is of type NoneType: give a list of users"]


def test_the_password_file_holds_hashes_that_match_and_is_the_same_each_time() -> None:
    users = [user(), {"name": "bob", "password_hash": BCRYPT}, {"name": "batch", "api_keys": [KEY]}]
    content = gateway_password_file(users)
    assert content == gateway_password_file(list(reversed(users)))
    lines = dict(line.split(":", 1) for line in content.splitlines())
    assert lines.keys() == {"alice", "bob"}
    assert lines["bob"] == BCRYPT
    salt = lines["alice"].split("$")[2]
    openssl = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    expected = subprocess.run(openssl, input=PASSWORD, capture_output=True, text=True, check=True).stdout
    assert lines["alice"] == expected.strip()
    assert salt not in gateway_password_file([user(name="carol")])
    assert salt in gateway_password_file([user(password="another good one")])


def test_the_map_of_keys_leads_from_hashes_to_names() -> None:
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    assert gateway_key_map([user(api_keys=[KEY, "sha256:" + "0" * 64])]) == (
        f'"{"0" * 64}" "alice";\n"{hashed}" "alice";\n'
    )
