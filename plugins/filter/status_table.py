"""A table of what the instances answered, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEADER = ("INSTANCE", "ADDRESS", "STATE", "RELEASE")


def status_table(answers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table with a row for each answer to `/readyz`.

    Args:
        answers: results of `ansible.builtin.uri`, each with the instance as `item`.

    """
    rows = [HEADER, *(_row(answer) for answer in answers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(answer: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the cells of one instance."""
    instance = answer["item"]
    body = answer.get("json") or {}
    state = body.get("status") or f"down ({answer.get('msg', 'no answer')})"
    return instance["id"], instance["endpoint"], state, body.get("release", "-")


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"status_table": status_table}
