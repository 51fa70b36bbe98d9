"""A virtual IP that cannot move and a certificate that nobody could get are refused at once."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter.edge import edge_errors


def gateway(number: int, **variables: Any) -> dict[str, Any]:
    return {"inventory_hostname": f"gw{number}", "address": f"192.0.2.{number}", **variables}


def errors(*gateways: dict[str, Any]) -> list[str]:
    hosts = [*gateways, {"inventory_hostname": "gpu1", "address": "192.0.2.50"}]
    return edge_errors(gateways, hosts)


def pair(**variables: Any) -> list[dict[str, Any]]:
    return [gateway(1, **variables), gateway(2, **variables)]


@pytest.mark.parametrize("addresses", [[], ["192.0.2.100/24"], ["192.0.2.100/24", "2001:db8::100/64"]])
def test_a_pair_may_have_a_virtual_ip_and_need_not(addresses: list[str]) -> None:
    assert errors(*pair(virtual_ip_addresses=addresses)) == []


def test_one_gateway_may_not() -> None:
    (error,) = errors(gateway(1, virtual_ip_addresses=["192.0.2.100/24"]))
    assert "it takes two gateways" in error


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("pictures.example.org", "no IP address"),
        ("192.0.2.999/24", "no IP address"),
        ("192.0.2.2/24", "the address of gw2"),
        ("192.0.2.50/24", "the address of gpu1"),
    ],
)
def test_a_virtual_ip_has_to_be_an_address_that_nobody_has(address: str, reason: str) -> None:
    found = errors(*pair(virtual_ip_addresses=[address]))
    assert len(found) == 2
    assert all(address in error and reason in error for error in found)


def test_the_gateways_have_to_agree() -> None:
    (error,) = errors(
        gateway(1, virtual_ip_addresses=["192.0.2.100/24"]),
        gateway(2, virtual_ip_addresses=["192.0.2.101/24"]),
    )
    assert "the same for all gateways" in error


def test_a_gateway_that_is_known_by_a_name_cannot_have_one() -> None:
    (error,) = errors(
        gateway(1, virtual_ip_addresses=["192.0.2.100/24"], address="gateway1"),
        gateway(2, virtual_ip_addresses=["192.0.2.100/24"]),
    )
    assert error.startswith("gw1: address is 'gateway1'")


TLS = {"gateway_tls": True, "certificates_names": ["pictures.example.org"]}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"certificates_names": ["a.example"]}, "gateway_tls is not"),
        ({**TLS, "certificates_source": "acme"}, "certificates_email is ''"),
        (
            {**TLS, "certificates_source": "own", "certificates_own_chain": "x"},
            "certificates_own_key is missing",
        ),
    ],
)
def test_a_certificate_that_cannot_be_is_refused(variables: dict[str, Any], reason: str) -> None:
    (error,) = errors(gateway(1, **variables))
    assert reason in error


def test_one_that_can_be_is_not() -> None:
    assert errors(gateway(1, **TLS)) == []
    assert errors(gateway(1, **TLS, certificates_source="acme", certificates_email="a@b.example")) == []
