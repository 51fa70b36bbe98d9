"""The instances of this host and how to treat them, as the role writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


POSITIVE = ("interval", "limit", "fall", "loading_seconds", "window_seconds", "draw_limit", "draw_side")


class SettingsError(RuntimeError):
    """The file cannot be used; the message says what is wrong with it."""


class Instance(NamedTuple):
    """One instance of this host; `gpu` is a UUID or an index, nothing where it has none."""

    id: str
    program: str
    address: str
    port: int
    log: str
    gpu: str | None


@dataclass(frozen=True)
class Options:
    """How to look and when to act; seconds where nothing else is said."""

    interval: float  # from one look to the next
    limit: float  # for one answer
    fall: int  # looks without an answer, in a row, until an instance counts as stuck
    loading_seconds: float  # that an instance may take to get ready
    budget: int  # restarts of an instance within the window
    window_seconds: float
    draw_seconds: float  # from one deep check to the next; 0: none
    draw_limit: float  # for its picture
    draw_side: int  # pixels
    metrics: str  # file


class Settings(NamedTuple):
    """What the file says."""

    instances: list[Instance]
    options: Options


def read_settings(path: Path) -> Settings:
    """Return what the file says; raise `SettingsError` where it cannot be used."""
    try:
        data = json.loads(path.read_text())
        options = data["options"]
        unknown = options.keys() - {one.name for one in fields(Options)}
        if unknown:
            raise SettingsError(f"{path}: there is no option {', '.join(sorted(unknown))}")
        wrong = [name for name in POSITIVE if not float(options[name]) > 0]
        settings = Settings([_instance(one) for one in data["instances"]], Options(**options))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: {type(error).__name__}: {error}") from error
    if wrong:
        raise SettingsError(f"{path}: {wrong[0]} has to be more than 0")
    return settings


def _instance(data: dict[str, Any]) -> Instance:
    return Instance(**{name: data[name] for name in Instance._fields})
