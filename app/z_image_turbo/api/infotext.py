"""The text by which the web UI's pictures and clients carry how a picture was made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NEGATIVE = "Negative prompt: "
PAIR = re.compile(r'([\w /-]{1,64}):(?: *"((?:[^"\\]|\\.)*)"|([^,]*))(?:,|$)')
SIZE = re.compile(r"(\d+)x(\d+)")
PAIRS_MIN = 3  # fewer of them in the last line are rather a part of the prompt
LINE_CHARS_MAX = 8192  # of the last line: it comes from strangers


def write_infotext(prompt: str, negative: str, values: Mapping[str, object]) -> str:
    """Return prompt, negative prompt if there is one, and `values`, each in lines of its own."""
    pairs = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in values.items() if value is not None)
    return "\n".join([prompt, *([NEGATIVE + negative] if negative else []), pairs])


def read_infotext(text: str) -> dict[str, str]:
    """Return what `write_infotext`, or the web UI, has put into `text`."""
    *lines, last = text.strip().split("\n")
    pairs = PAIR.findall(last) if len(last) <= LINE_CHARS_MAX else []
    if len(pairs) < PAIRS_MIN:
        lines, pairs = [*lines, last], []
    prompt, _, negative = "\n".join(lines).partition(NEGATIVE)
    found = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for label, quoted, bare in pairs:
        name, plain = label.strip(), _unquoted(quoted) if quoted else bare.strip()
        if size := SIZE.fullmatch(plain):
            found |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            found[name] = plain
    return found


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
