"""Filters of the smoke test: its table, and the header by which a gateway knows the caller."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEADER = ("DOOR", "PICTURE", "SECONDS", "DRAWN BY")


def smoke_table(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table with a row for each result of `check_picture`, the door as its `item`."""
    rows = [HEADER, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    name, error = result["item"]["name"], result["error"]
    if error:
        return name, f"none ({error})", "-", "-"
    return name, "right", f"{result['seconds']:.2f}", result["instance"] or name


def smoke_authorization(users: Iterable[Mapping[str, Any]]) -> str:
    """Return the header by which a gateway takes one of its users, an empty string where there are none.

    Args:
        users: `gateway_users`; one of them has to have a key or a password that is not a hash.

    Raises:
        AnsibleFilterError: when all of them are hashes.

    """
    users = list(users)
    for user in users:
        for key in user.get("api_keys", []):
            if not key.startswith("sha256:"):
                return f"Bearer {key}"
        if password := user.get("password"):
            return "Basic " + base64.b64encode(f"{user['name']}:{password}".encode()).decode()
    if users:
        raise AnsibleFilterError(
            "gateway_users holds hashes alone, so none of its users can be tried: give a key of one of them, "
            "-e smoke_key=<key>, or have it in a vault"
        )
    return ""


def smoke_instance_doors(planned: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the doors of instances, as the filter `instance_plan` plans them."""
    return [{"name": instance["id"], "url": f"http://{instance['endpoint']}"} for instance in planned]


def smoke_gateway_door(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the door of a gateway by the variables of its host; those of its role may be unset."""
    tls = bool(variables.get("gateway_tls", False))
    port = variables.get("gateway_tls_port", 443) if tls else variables.get("gateway_port", 80)
    address = str(variables["address"])
    address = f"[{address}]" if ":" in address else address
    name = str(variables.get("gateway_server_name", "_")).split()[0]
    return {
        "name": variables["inventory_hostname"],
        "url": f"{'https' if tls else 'http'}://{address}:{port}",
        "host": "" if name == "_" else name,
        "authorize": True,
    }


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "smoke_authorization": smoke_authorization,
            "smoke_gateway_door": smoke_gateway_door,
            "smoke_instance_doors": smoke_instance_doors,
            "smoke_table": smoke_table,
        }
