"""Options of all tests; it has to be here to be known whatever is tested."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("service", "the real clients, tests/clients")
    group.addoption(
        "--service-url", help="run them against this service, instead of an instance of their own"
    )
    group.addoption("--service-login", help="NAME:PASSWORD for that service, for its clients that log in")
    group.addoption("--service-key", help="key for that service, for its clients that send one")
