"""LoRAs by name: small files that change how the model draws, from one folder of the operator's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from z_image_turbo.errors import InvalidRequest, UnknownLora
from z_image_turbo.json_types import Number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from z_image_turbo.settings import Settings

SUFFIX = ".safetensors"  # nothing else is read: pickles can run code
WEIGHT_MAX = 4.0
TAG = re.compile(r" ?<lora:([^:<>]+)(?::([^:<>]*))?>")


class WeightedName(BaseModel):
    """One LoRA in a request's JSON."""

    name: str
    weight: Number = 1.0


Asked = str | WeightedName | list[str | WeightedName]  # what the key `lora` of a request may hold


@dataclass(frozen=True, slots=True, order=True)
class Lora:
    """One of the folder's LoRAs, and how strongly it acts: 1 as trained, 0 not at all."""

    name: str
    weight: float = 1.0


def lora_files(folder: Path | None) -> dict[str, Path]:
    """Return the LoRAs in `folder` by name, which is the file's without its suffix; none without a folder.

    A name from a request is only ever looked up here, and never made a path of.
    """
    if folder is None:
        return {}
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}")) if path.is_file()}


def read_tags(prompt: str) -> tuple[str, tuple[Lora, ...]]:
    """Return `prompt` without its `<lora:name:weight>` tags, and what they ask for."""
    found = [Lora(name.strip(), _weight(weight)) for name, weight in TAG.findall(prompt)]
    return (TAG.sub("", prompt).strip(), tuple(found)) if found else (prompt, ())


def with_tags(prompt: str, loras: Sequence[Lora]) -> str:
    """Return `prompt` with the tags that `read_tags` reads."""
    return " ".join([prompt, *(f"<lora:{lora.name}:{lora.weight:g}>" for lora in loras)])


def as_loras(asked: Asked | None) -> tuple[Lora, ...]:
    """Return what a request asks for by names, or by names with weights."""
    if asked is None:
        return ()
    items = asked if isinstance(asked, list) else [asked]
    return tuple(Lora(item) if isinstance(item, str) else Lora(item.name, item.weight) for item in items)


def require_loras(loras: Sequence[Lora], settings: Settings) -> None:
    """Raise `InvalidRequest` unless every one of `loras` is there, once, with a weight within the limits."""
    if len(loras) > settings.loras_max:
        raise InvalidRequest(
            f"{len(loras)} are too many; at most {settings.loras_max} at once.", field="lora"
        )
    if len({lora.name for lora in loras}) < len(loras):
        raise InvalidRequest("each may be named once.", field="lora")
    known = lora_files(settings.lora_path) if loras else {}
    for lora in loras:
        if lora.name not in known:
            raise UnknownLora(f"there is none named {lora.name[:100]!r}.", field="lora")
        if not -WEIGHT_MAX <= lora.weight <= WEIGHT_MAX:
            raise InvalidRequest(f"weights lie between {-WEIGHT_MAX:g} and {WEIGHT_MAX:g}.", field="lora")


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        raise InvalidRequest("a weight must be a number, as in <lora:name:0.8>.", field="lora") from None
