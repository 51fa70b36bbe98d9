"""Lists of addresses and networks, checked before a configuration is made of them."""

from __future__ import annotations

import ipaddress
from typing import Any


def network_errors(networks: object, variable: str) -> list[str]:
    """Return what is wrong with a list of addresses and networks, one sentence for each fault."""
    if not isinstance(networks, list):
        return [f"{variable} is {networks!r}: give a list of addresses and networks"]
    return [
        error
        for number, network in enumerate(networks)
        if (error := _error(f"{variable}[{number}]", network))
    ]


def _error(where: str, network: object) -> str | None:
    if not isinstance(network, str):
        return f"{where} is {network!r}: put it in quotes"
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError as error:
        return f"{where} is {network!r}: {error}"
    if parsed.prefixlen == 0:
        return f"{where} is {network!r}: that is everybody"
    return None


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"network_errors": network_errors}
