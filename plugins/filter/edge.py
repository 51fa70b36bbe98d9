"""What is wrong with the gateways of an inventory: their virtual IP, their certificate."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def edge_errors(gateways: Iterable[Mapping[str, Any]], hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong, a sentence for each fault; empty when nothing is.

    Args:
        gateways: the variables of each gateway.
        hosts: the variables of every host, whose addresses nothing else may have.

    """
    gateways = list(gateways)
    taken = {str(host.get("address")): str(host["inventory_hostname"]) for host in hosts}
    errors: list[str] = []
    for gateway in gateways:
        name = str(gateway["inventory_hostname"])
        declared = gateway.get("virtual_ip_addresses") or []
        if declared and len(gateways) == 1:
            errors.append(
                f"{name}: virtual_ip_addresses is {declared!r}: it takes two gateways for it to move"
            )
        errors += [
            f"{name}: virtual_ip_addresses has {address!r}: {reason}"
            for address in declared
            if (reason := _refusal(str(address), taken))
        ]
        if declared and not _is_address(str(gateway.get("address"))):
            errors.append(
                f"{name}: address is {gateway.get('address')!r}: with a virtual IP it has to be an IP address"
            )
        errors += _certificate_errors(name, gateway)
    for variable in ("virtual_ip_addresses", "virtual_ip_router_id"):
        values = {repr(gateway.get(variable)) for gateway in gateways}
        if len(values) > 1:
            errors.append(
                f"{variable} has to be the same for all gateways, and is {' and '.join(sorted(values))}"
            )
    return errors


def _certificate_errors(name: str, gateway: Mapping[str, Any]) -> list[str]:
    """Return what is missing for a gateway to get its certificate."""
    if not gateway.get("certificates_names"):
        return []
    if not gateway.get("gateway_tls"):
        return [
            f"{name}: certificates_names is set, but gateway_tls is not: the certificate would be for nobody"
        ]
    source = gateway.get("certificates_source", "self_signed")
    email = str(gateway.get("certificates_email", ""))
    if source == "acme" and "@" not in email:
        return [f"{name}: certificates_email is {email!r}: a CA needs an address for your account"]
    return [
        f"{name}: {variable} is missing: certificates_source is 'own'"
        for variable in ("certificates_own_chain", "certificates_own_key")
        if source == "own" and variable not in gateway
    ]


def _refusal(address: str, taken: Mapping[str, str]) -> str | None:
    """Return why a virtual IP cannot be, if it cannot."""
    try:
        interface = ipaddress.ip_interface(address)
    except ValueError:
        return "it is no IP address; 192.0.2.100/24 is one"
    if str(interface.ip) in taken:
        return f"that is the address of {taken[str(interface.ip)]}; take one that nobody has"
    return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class FilterModule:
    """The filter of the gateways' check."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"edge_errors": edge_errors}
