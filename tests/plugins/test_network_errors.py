"""The promises of the check of networks."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter.network_errors import network_errors


def test_addresses_and_networks_of_both_kinds_are_taken() -> None:
    assert network_errors(["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"], "proxies") == []


@pytest.mark.parametrize(
    "wrong", ["0.0.0.0/0", "::/0", "gateway1", "192.0.2.1/24", "192.0.2.256", "", "192.0.2.1; x", 7, None]
)
def test_what_is_none_or_everybody_is_named_with_its_place(wrong: Any) -> None:
    (error,) = network_errors(["192.0.2.1", wrong], "proxies")
    assert error.startswith(f"proxies[1] is {wrong!r}: ")


def test_something_else_than_a_list_is_refused() -> None:
    assert network_errors("192.0.2.1", "proxies") == [
        "proxies is '192.0.2.1': give a list of addresses and networks"
    ]
