"""Whether the GPUs of the instances are there, by nvidia-smi, which may hang as they do."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND = "nvidia-smi"
SECONDS = 8.0
END_SECONDS = 1.0


class Said(NamedTuple):
    """How a command ended, and what it printed; `code` is None where it did not end in time."""

    code: int | None
    output: str


def troubles(gpus: Iterable[str], command: str = COMMAND, seconds: float = SECONDS) -> dict[str, str]:
    """Return what is wrong with each GPU that has something; nothing where there is no nvidia-smi."""
    wanted = sorted(set(gpus))
    if not wanted:
        return {}
    try:
        listed = _run([command, "-L"], seconds)
    except OSError:
        return {}
    if listed.code is None:
        return dict.fromkeys(wanted, f"nvidia-smi does not answer within {seconds:.0f} s")
    found = {}
    for gpu in wanted:
        there = f"GPU {gpu}:" in listed.output if gpu.isdigit() else gpu in listed.output
        if listed.code == 0 and there:
            continue
        # The list fails as a whole when one GPU is gone; the others are asked by themselves.
        alone = _run([command, f"--id={gpu}", "--query-gpu=uuid", "--format=csv,noheader"], seconds)
        if alone.code != 0:
            lines = (alone.output.strip() or listed.output.strip()).splitlines()
            found[gpu] = f"GPU {gpu}: {lines[0] if lines else 'nvidia-smi does not list it'}"
    return found


def _run(command: list[str], seconds: float) -> Said:
    """Run a command; leave it behind where not even a kill ends it, for it waits inside the driver."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - no word of it comes from outside
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            return Said(None, "")
        output.seek(0)
        return Said(code, output.read().decode(errors="replace"))
