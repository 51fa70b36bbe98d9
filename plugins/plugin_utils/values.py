"""Checks of the variables that a plan is made of, with errors that say host, variable, value and reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PlanError(ValueError):
    """A variable of a host that no plan can be made of; says host, variable, value and reason."""

    def __init__(self, host: str, variable: str, value: object, reason: str) -> None:
        """Compose the message that the operator reads."""
        super().__init__(f"{host}: {variable} is {value!r}: {reason}")


def whole(host: str, variable: str, value: object, least: int, most: int) -> int:
    """Return the value if it is a whole number between the limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(host, variable, value, "a whole number is needed")
    if not least <= value <= most:
        raise PlanError(host, variable, value, f"it must be {least} to {most}")
    return value


def positive(host: str, variable: str, value: object, unit: str) -> float:
    """Return the value if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise PlanError(host, variable, value, f"a number of {unit} above 0 is needed")
    return float(value)


def one_of(host: str, variable: str, value: object, known: Mapping[str, Any]) -> str:
    """Return the value if it is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise PlanError(host, variable, value, f"known are {', '.join(known)}")
    return value


def mapping(host: str, variable: str, value: object) -> Mapping[str, Any]:
    """Return the value if it is a mapping; one that is not given is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PlanError(host, variable, value, "a mapping is needed")
    return value


def for_each_gpu(host: str, variable: str, value: object, gpus: int) -> list[Any]:
    """Return a value for each GPU, from one for all of them, from a list, or from nothing."""
    if not isinstance(value, list):
        return [value] * gpus
    if len(value) != gpus:
        raise PlanError(host, variable, value, f"give one value, or one for each GPU (gpus is {gpus})")
    return value
