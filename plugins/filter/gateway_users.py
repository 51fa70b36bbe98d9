"""The users of a gateway: what is wrong with them, and the two files that Nginx checks them by.

A user is a mapping: `name`, a `password` or a `password_hash`, `api_keys` (each as it is, or
`sha256:<64 hex digits>`), and `unlimited`. No message ever holds a secret, nor a part of one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

USER_KEYS = ("api_keys", "name", "password", "password_hash", "unlimited")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
PASSWORD = re.compile(r"[\x20-\x7e]*")
PASSWORD_CHARS = range(12, 129)
API_KEY = re.compile(r"[A-Za-z0-9._~+/=-]*")
API_KEY_CHARS = range(32, 257)
API_KEY_HASH = re.compile(r"sha256:[0-9a-f]{64}")
PLACEHOLDER = re.compile(r"change.?me", re.IGNORECASE)
MAKE_ONE = "'make api-key' makes one"
DISTINCT_CHARS = {"password": 5, "api_key": 12}

# What a wrong guess may cost: Nginx computes these in the loop that serves everybody. About 3 ms each.
BCRYPT = re.compile(r"\$2[aby]\$0(?P<cost>[4-5])\$[./A-Za-z0-9]{53}")
SHA512_CRYPT = re.compile(r"\$6\$(rounds=(?P<rounds>\d{1,9})\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}")
ROUNDS_MAX = 5000

User = Mapping[str, Any]


def gateway_user_errors(users: object) -> list[str]:
    """Return what is wrong with `gateway_users`, one sentence for each fault, without any secret."""
    if not isinstance(users, list):
        return [f"gateway_users is of type {type(users).__name__}: give a list of users"]
    errors = [
        error for number, user in enumerate(users) for error in _user_errors(f"gateway_users[{number}]", user)
    ]
    if errors:
        return errors
    names = Counter(user["name"] for user in users)
    errors += [
        f"gateway_users: the name {name} is there {count} times" for name, count in names.items() if count > 1
    ]
    owners: dict[str, str] = {}
    for number, user in enumerate(users):
        for position, key in enumerate(user.get("api_keys") or []):
            where = f"gateway_users[{number}].api_keys[{position}]"
            if (first := owners.setdefault(_key_hash(key), where)) != where:
                errors.append(f"{where} ({user['name']}): it is the same key as {first}")
    return errors


def _user_errors(where: str, user: object) -> Iterator[str]:
    if not isinstance(user, Mapping):
        yield f"{where} is of type {type(user).__name__}: give name, password, api_keys"
        return
    name = user.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"{where}.name: use 1 to 64 letters, digits and . _ @ -, a letter or digit first"
        return
    for key in sorted(set(user) - set(USER_KEYS)):
        yield f"{where} ({name}): unknown key {key!r}, known are {', '.join(USER_KEYS)}"
    if not any(user.get(key) for key in ("password", "password_hash", "api_keys")):
        yield f"{where} ({name}): give a password, a password_hash or api_keys"
    if "password" in user and "password_hash" in user:
        yield f"{where} ({name}): give either password or password_hash"
    if "password" in user:
        yield from _password_errors(f"{where}.password ({name})", user["password"], name)
    if "password_hash" in user:
        yield from _password_hash_errors(f"{where}.password_hash ({name})", user["password_hash"])
    yield from _api_keys_errors(where, user, name)


def _password_errors(where: str, password: object, name: str) -> Iterator[str]:
    if not isinstance(password, str):
        yield f"{where} is of type {type(password).__name__}: put it in quotes"
    elif len(password) not in PASSWORD_CHARS:
        yield f"{where} has {len(password)} characters: it must have {_span(PASSWORD_CHARS)}"
    elif not PASSWORD.fullmatch(password):
        yield f"{where}: use printable ASCII characters; clients do not agree on how to send others"
    elif PLACEHOLDER.search(password):
        yield f"{where} is still the placeholder of the sample"
    elif name.lower() in password.lower() or len(set(password)) < DISTINCT_CHARS["password"]:
        yield f"{where} is too easy to guess: do not use the name, nor the same few characters"


def _password_hash_errors(where: str, hashed: object) -> Iterator[str]:
    if isinstance(hashed, str):
        if BCRYPT.fullmatch(hashed):
            return
        if (found := SHA512_CRYPT.fullmatch(hashed)) and int(found["rounds"] or ROUNDS_MAX) <= ROUNDS_MAX:
            return
    yield (
        f"{where}: use SHA-512-crypt with up to {ROUNDS_MAX} rounds ('openssl passwd -6') "
        "or bcrypt of cost 4 or 5 ('htpasswd -nB -C 5'); others are weak, or stall the gateway"
    )


def _api_keys_errors(where: str, user: User, name: str) -> Iterator[str]:
    keys = user.get("api_keys", [])
    if not isinstance(keys, list):
        yield f"{where}.api_keys ({name}) is of type {type(keys).__name__}: give a list of keys"
        return
    for position, key in enumerate(keys):
        yield from _api_key_errors(f"{where}.api_keys[{position}] ({name})", key)
    if not isinstance(user.get("unlimited", False), bool):
        yield f"{where}.unlimited ({name}): give true or false"
    elif user.get("unlimited") and not keys:
        yield f"{where}.unlimited ({name}): it holds for calls with an API key, and there is none"


def _api_key_errors(where: str, key: object) -> Iterator[str]:
    if not isinstance(key, str):
        yield f"{where} is of type {type(key).__name__}: put it in quotes"
    elif key.startswith("sha256:"):
        if not API_KEY_HASH.fullmatch(key):
            yield f"{where}: after sha256: come 64 digits of 0-9 and a-f"
    elif len(key) not in API_KEY_CHARS:
        yield f"{where} has {len(key)} characters: it must have {_span(API_KEY_CHARS)}; {MAKE_ONE}"
    elif not API_KEY.fullmatch(key):
        yield f"{where}: use letters, digits and . _ ~ + / = -; {MAKE_ONE}"
    elif PLACEHOLDER.search(key):
        yield f"{where} is still the placeholder of the sample"
    elif len(set(key)) < DISTINCT_CHARS["api_key"]:
        yield f"{where} is too easy to guess; {MAKE_ONE}"


def _span(lengths: range) -> str:
    return f"{lengths.start} to {lengths.stop - 1}"


def gateway_password_file(users: Iterable[User]) -> str:
    """Return the content of the file for `auth_basic_user_file`: a line for each user who has a password."""
    lines = [
        f"{user['name']}:{user.get('password_hash') or _password_hash(user['name'], user['password'])}"
        for user in users
        if user.get("password_hash") or user.get("password")
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def gateway_key_map(users: Iterable[User]) -> str:
    """Return lines for a `map` of Nginx: from the SHA-256 of each API key to the name of its user."""
    lines = [f'"{_key_hash(key)}" "{user["name"]}";' for user in users for key in user.get("api_keys") or []]
    return "".join(f"{line}\n" for line in sorted(lines))


def _key_hash(key: str) -> str:
    # No salt and one round are enough for what has 128 random bits or more: nobody can go through them.
    return (
        key.removeprefix("sha256:") if key.startswith("sha256:") else hashlib.sha256(key.encode()).hexdigest()
    )


def _password_hash(name: str, password: str) -> str:
    """Return the password as SHA-512-crypt.

    The salt follows from the name and never from the password: the file stays the same from run to run,
    differs between users, and tells nothing that would be quicker to guess by than the hash itself.
    """
    salt = hashlib.sha256(f"z-image-turbo gateway:{name}".encode()).hexdigest()[:16]
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed: bytes | None = library.crypt(password.encode(), f"$6${salt}$".encode())
    if hashed is None or not SHA512_CRYPT.fullmatch(hashed.decode()):
        raise AnsibleFilterError("the C library of this machine cannot make SHA-512-crypt hashes")
    return hashed.decode()


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "gateway_user_errors": gateway_user_errors,
            "gateway_password_file": gateway_password_file,
            "gateway_key_map": gateway_key_map,
        }
