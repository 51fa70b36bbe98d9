#!/usr/bin/python3
"""Divides the GPUs of this host by MIG as it is declared, or says what that would change.

usage: z-image-turbo-mig plan|apply DECLARED [FACT]

DECLARED is JSON, or a file of it: {"<GPU>": ["3g.40gb", "3g.40gb"], "<GPU>": []}. A GPU is named by number or
UUID, and "all" is every one that is not named; [] is one piece, and what is not declared stays as it is.
FACT is the local fact `gpu` as JSON; without it the host is asked.

Prints JSON. `changes`: a sentence for each GPU that is divided otherwise than declared; `count`: how many
devices the host has in the end; `refused`: why it cannot be, and that no GPU was changed; `pending`: what
waits for a reboot.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

FACT = "/etc/ansible/facts.d/gpu.fact"
TIMEOUT = 120  # seconds for a change of the mode, which resets a GPU


class RefusedError(Exception):
    """What is declared cannot be; the message says why and what can."""


class Offer(NamedTuple):
    """A profile that a GPU offers: at most how many, memory in GiB, and where in its slices it can begin."""

    number: str
    most: int
    memory: str
    starts: list[int]
    size: int


class Gpu(NamedTuple):
    """A GPU: what it is divided into now, and what it should be; [] is one piece, None is left as it is."""

    fact: dict[str, Any]
    parts: list[str]
    wanted: list[str] | None

    @property
    def name(self) -> str:
        """Return number and model, for messages."""
        return f"GPU {self.fact['index']} ({self.fact['model']})"

    @property
    def number(self) -> str:
        """Return the number as nvidia-smi takes it."""
        return str(self.fact["index"])

    @property
    def differs(self) -> bool:
        """Tell whether it is divided otherwise than declared."""
        if self.wanted is None:
            return False
        return self.fact["mig"] != bool(self.wanted) or sorted(self.parts) != sorted(self.wanted)

    @property
    def change(self) -> str:
        """Return in words what would be changed."""
        now = told(self.parts) if self.parts or not self.fact["mig"] else "nothing yet"
        return f"{self.name} is divided into {now}, and {told(self.wanted or [])} is declared"

    @property
    def devices(self) -> int:
        """Return how many devices it is in the end."""
        if self.wanted is None:
            return len(self.parts) if self.fact["mig"] else 1
        return len(self.wanted) or 1


def told(parts: list[str]) -> str:
    """Return a division in words."""
    return ", ".join(parts) or "one piece"


def smi(*arguments: str) -> str:
    """Return what nvidia-smi says, whatever its status: an empty list is an error to it."""
    done = subprocess.run(  # noqa: S603 - nvidia-smi and words of ours
        ["nvidia-smi", *arguments],  # noqa: S607 - wherever the driver's package has it
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.stdout + done.stderr


def host_fact() -> dict[str, Any]:
    """Return the local fact of the GPUs as it is now."""
    done = subprocess.run([FACT], capture_output=True, text=True, timeout=TIMEOUT, check=True)  # noqa: S603
    fact: dict[str, Any] = json.loads(done.stdout)
    return fact


def read(declared: dict[str, Any], fact: dict[str, Any]) -> list[Gpu]:
    """Return every GPU of the host with what it is and what it should be.

    Raises:
        RefusedError: for a GPU that is not there, or cannot be divided.

    """
    if fact["health"] != "ok":
        raise RefusedError(fact["message"])
    known = {str(gpu[key]) for gpu in fact["gpus"] for key in ("index", "uuid")} | {"all"}
    if strangers := [name for name in declared if name not in known]:
        has = ", ".join(f"{gpu['index']} ({gpu['model']}, {gpu['uuid']})" for gpu in fact["gpus"])
        raise RefusedError(f"GPU {strangers[0]} is not there; the host has {has}")
    found = []
    for gpu in fact["gpus"]:
        parts = [
            device["model"].removeprefix("MIG ")
            for device in fact["devices"]
            if gpu["mig"] and device["index"] == gpu["index"]
        ]
        names = [name for name in (gpu["uuid"], str(gpu["index"]), "all") if name in declared]
        wanted = [part.removeprefix("MIG ") for part in declared[names[0]]] if names else None
        one = Gpu(gpu, parts, wanted)
        if wanted and not gpu["mig_capable"]:
            raise RefusedError(f"{one.name} cannot be divided: it does not know MIG")
        found.append(one)
    return found


def offers(gpu: Gpu) -> dict[str, Offer]:
    """Return the profiles that a GPU offers, by name; older drivers list none before the mode is on."""
    places = {
        number: ([int(start) for start in starts.split(",")], int(size))
        for number, starts, size in re.findall(
            r"Profile ID +(\d+) Placements? *: *\{([\d,]+)\}:(\d+)", smi("mig", "-i", gpu.number, "-lgipp")
        )
    }
    listed = re.findall(
        r"\| +\d+ +MIG (\S+) +(\d+) +\d+/(\d+) +([\d.]+)", smi("mig", "-i", gpu.number, "-lgip")
    )
    return {
        name: Offer(number, int(most), memory, *places.get(number, ([], 0)))
        for name, number, most, memory in listed
    }


def arrange(wanted: list[str], offered: dict[str, Offer]) -> list[tuple[str, int]] | None:
    """Return a place for each profile, largest first, as number and start; None when they do not fit."""
    if any(wanted.count(name) > offered[name].most for name in wanted):
        return None
    ordered = [offered[name] for name in sorted(wanted, key=lambda name: -offered[name].size)]

    def rest(index: int, taken: frozenset[int]) -> list[tuple[str, int]] | None:
        if index == len(ordered):
            return []
        offer = ordered[index]
        for start in offer.starts:
            slices = set(range(start, start + offer.size))
            if slices.isdisjoint(taken):
                others = rest(index + 1, taken | slices)
                if others is not None:
                    return [(offer.number, start), *others]
        return None

    return rest(0, frozenset())


def require_possible(gpu: Gpu) -> list[tuple[str, int]]:
    """Return the places of what is wanted of a GPU.

    Raises:
        RefusedError: with what the GPU offers, when it is no profile of it or they do not fit together.

    """
    offered = offers(gpu)
    if not offered:
        raise RefusedError(
            f"{gpu.name} lists no profile: {' '.join(smi('mig', '-i', gpu.number, '-lgip').split())}"
        )
    listed = ", ".join(f"{offer.most} x {name} ({offer.memory} GiB)" for name, offer in offered.items())
    wanted = gpu.wanted or []
    if unknown := [name for name in wanted if name not in offered]:
        raise RefusedError(f"{gpu.name} has no profile {unknown[0]}. It offers at most {listed}")
    placed = arrange(wanted, offered)
    if placed is None:
        raise RefusedError(
            f"{gpu.name}: {told(wanted)} do not fit on it together. It offers at most {listed}"
        )
    return placed


def require_idle(gpus: list[Gpu]) -> None:
    """Refuse to take a GPU, or its parts, from under a process."""
    for gpu in gpus:
        told_of = smi("-i", gpu.number, "--query-compute-apps=pid,process_name", "--format=csv,noheader")
        busy = [line.strip() for line in told_of.splitlines() if re.match(r"\s*\d+,", line)]
        if busy:
            raise RefusedError(f"{gpu.name} is in use by {'; '.join(busy)}: stop what uses it first")


def plan(gpus: list[Gpu]) -> dict[str, Any]:
    """Return what would be changed; what is impossible is refused as far as it can be told beforehand."""
    changed = [gpu for gpu in gpus if gpu.differs]
    for gpu in changed:
        if gpu.wanted and (gpu.fact["mig"] or offers(gpu)):
            require_possible(gpu)
    require_idle(changed)
    return {
        "changes": [gpu.change for gpu in changed],
        "count": sum(gpu.devices for gpu in gpus),
    }


def set_mode(gpus: list[Gpu], mode: str) -> str:
    """Turn MIG on ("1") or off ("0"); return what nvidia-smi says of GPUs where it has to wait."""
    pending = _set_mode(gpus, mode)
    if pending and systemctl("is-active", "--quiet"):
        # It holds every GPU open, and the mode of some changes by a reset, which needs one that is closed.
        systemctl("stop")
        pending = _set_mode(gpus, mode)
        systemctl("start")
    return pending


def _set_mode(gpus: list[Gpu], mode: str) -> str:
    said = [" ".join(smi("-i", gpu.number, "-mig", mode).split()) for gpu in gpus]
    return "; ".join(words for words in said if "pending" in words)


def systemctl(*words: str) -> bool:
    """Tell whether systemd did this to the persistence daemon."""
    program = shutil.which("systemctl")
    command = [str(program), *words, "nvidia-persistenced"]
    return bool(program) and subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def clear(gpu: Gpu) -> None:
    """Remove the parts of a GPU."""
    smi("mig", "-i", gpu.number, "-dci")
    smi("mig", "-i", gpu.number, "-dgi")


def divide(gpu: Gpu, placed: list[tuple[str, int]]) -> None:
    """Divide a GPU anew.

    Raises:
        RefusedError: when the driver does not do it; the GPU is divided as before then.

    """
    clear(gpu)
    said = smi(
        "mig", "-i", gpu.number, "-cgi", ",".join(f"{number}:{start}" for number, start in placed), "-C"
    )
    if said.count("Successfully created compute instance") == len(placed):
        return
    clear(gpu)
    if gpu.parts:
        smi("mig", "-i", gpu.number, "-cgi", ",".join(gpu.parts), "-C")
    raise RefusedError(f"{gpu.name} is divided as before, for nvidia-smi says: {' '.join(said.split())}")


def apply(declared: dict[str, Any], fact: dict[str, Any]) -> dict[str, Any]:
    """Divide the GPUs as declared; return the plan that was carried out."""
    gpus = read(declared, fact)
    done = plan(gpus)
    changed = [gpu for gpu in gpus if gpu.differs]
    turned_on = [gpu for gpu in changed if gpu.wanted and not gpu.fact["mig"]]
    pending = set_mode(turned_on, "1")
    if pending:
        return done | {"pending": pending}
    try:
        places = [(gpu, require_possible(gpu)) for gpu in changed if gpu.wanted]
    except RefusedError:
        set_mode(turned_on, "0")
        raise
    for gpu, placed in places:
        divide(gpu, placed)
    turned_off = [gpu for gpu in changed if not gpu.wanted]
    for gpu in turned_off:
        clear(gpu)
    return done | {"pending": set_mode(turned_off, "0")}


def main(command: str, declared: str, fact: str = "") -> int:
    """Run the command; return the exit status."""
    text = Path(declared).read_text(encoding="utf-8") if declared.startswith("/") else declared
    answer: dict[str, Any] = {"changes": [], "count": 0, "refused": "", "pending": ""}
    try:
        known = json.loads(fact) if fact else host_fact()
        if command == "apply":
            answer |= apply(json.loads(text), known)
        else:
            answer |= plan(read(json.loads(text), known))
    except RefusedError as error:
        answer["refused"] = str(error)
    except subprocess.TimeoutExpired as error:
        answer["refused"] = f"nvidia-smi did not answer in {error.timeout:.0f} s"
    json.dump(answer, sys.stdout)
    return 1 if command == "apply" and (answer["refused"] or answer["pending"]) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
