#!/usr/bin/python3
"""The local fact `gpu`: the GPUs of this host and the state of their driver, as JSON on standard output.

`health` is "ok" when each of `devices` can be used; otherwise it is a word for what is wrong, and `message`
says it. `devices` are what CUDA can be told to use, in its order: a GPU, or its parts where it is divided by
MIG. Memory is in MiB. Whatever happens, the answer is JSON and comes in time.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TIMEOUT = 8  # seconds for each question
HUNG = "nvidia-smi did not answer"
FIELDS = (
    "index,uuid,name,memory.total,driver_version,mig.mode.current,persistence_mode,"
    "ecc.errors.uncorrected.volatile.total"
)
# By exit status and by words, since not every fault has a status of its own: health, and what to do.
FAULTS = (
    (
        18,
        "version mismatch",
        "mismatch",
        "the driver was changed since the kernel loaded it: reboot the host",
    ),
    (15, "is lost|determine the device handle", "lost", "a GPU is not answering: reboot, or replace it"),
    (9, "communicate with the nvidia driver", "no_driver", "the kernel module is not loaded"),
    (6, "no devices were found", "no_gpu", "the driver sees no GPU"),
)
EFI_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


class FaultError(Exception):
    """What is wrong, as `health` and `message`."""


def ask(*arguments: str) -> str:
    """Return what nvidia-smi says.

    Raises:
        FaultError: when it does not answer in time, or tells of a fault.

    """
    program = shutil.which("nvidia-smi")
    if not program:
        raise FaultError("no_driver", "no NVIDIA driver is installed: there is no nvidia-smi")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - nvidia-smi and words of ours
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()  # and no waiting: a process that hangs in the kernel does not die
            raise FaultError("hung", f"{HUNG} in {TIMEOUT} s: the driver or a GPU hangs, reboot") from None
        output.seek(0)
        said = output.read()
    if status:
        raise fault(status, " ".join(said.split()))
    return said


def fault(status: int, said: str) -> FaultError:
    """Return what an answer of nvidia-smi with an exit status means."""
    for known_status, words, health, meaning in FAULTS:
        if re.search(words, said.lower()) or (status == known_status and not said):
            return FaultError(health, f"{meaning} (nvidia-smi: {said or status})")
    return FaultError("error", f"nvidia-smi failed with status {status}: {said}")


def gpus() -> list[dict[str, Any]]:
    """Return the GPUs, in the order of their numbers."""
    found = []
    for line in ask(f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits").splitlines():
        index, uuid, model, memory, driver, mig, persistence, ecc = (cell.strip() for cell in line.split(","))
        errors = int(ecc) if ecc.isdigit() else 0
        found.append(
            {
                "index": int(index),
                "uuid": uuid,
                "model": model,
                "memory": int(float(memory)),
                "driver": driver,
                "mig": mig == "Enabled",
                "mig_capable": mig in {"Enabled", "Disabled"},
                "persistence": persistence == "Enabled",
                "health": f"{errors} uncorrected memory errors" if errors else "ok",
            }
        )
    return found


def memory_of_profiles() -> dict[tuple[int, str], int]:
    """Return the memory of each part that a GPU can be divided into, by its number and the profile's name."""
    try:
        listed = ask("mig", "-lgip")
    except FaultError:
        return {}
    found = re.findall(r"\| +(\d+) +MIG (\S+) +\d+ +\d+/\d+ +([\d.]+)", listed)
    return {(int(gpu), profile): int(float(size) * 1024) for gpu, profile, size in found}


def parts_by_mig() -> dict[int, list[dict[str, Any]]]:
    """Return the parts of each GPU that is divided by MIG.

    Memory is what the driver tells of the profile, else that of its name, which is rounded up.
    """
    known = memory_of_profiles()
    parts: dict[int, list[dict[str, Any]]] = {}
    gpu = -1
    for line in ask("-L").splitlines():
        if whole := re.match(r"GPU (\d+):", line):
            gpu = int(whole[1])
        elif part := re.match(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: ([^)]+)\)", line):
            size = re.search(r"(\d+)gb", part[1])
            named = int(size[1]) * 1024 if size else 0
            memory = known.get((gpu, re.sub(r"^\dc\.", "", part[1])), named)
            parts.setdefault(gpu, []).append(
                {"index": gpu, "uuid": part[2], "model": f"MIG {part[1]}", "memory": memory}
            )
    return parts


def usable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what CUDA can be told to use, each with index, uuid, model and memory."""
    parts = parts_by_mig() if any(gpu["mig"] for gpu in found) else {}
    devices: list[dict[str, Any]] = []
    for gpu in found:
        whole = {key: gpu[key] for key in ("index", "uuid", "model", "memory")}
        devices += parts.get(gpu["index"], []) if gpu["mig"] else [whole]
    return devices


def cuda_level() -> str:
    """Return the highest level of CUDA that the driver runs, such as 13.0; empty when it does not tell."""
    told = re.search(r"CUDA Version\s*:\s*([\d.]+)", ask("-q", "-d", "COMPUTE"))
    return told[1] if told else ""


def read(path: Path) -> str:
    """Return a file's text, each byte a character; empty when it cannot be read."""
    try:
        return path.read_bytes().decode("latin-1").strip()
    except OSError:
        return ""


def on_bus(root: Path) -> int:
    """Return how many NVIDIA display devices are on the PCI bus, with a driver or without."""
    return sum(
        read(device / "vendor") == "0x10de" and read(device / "class").startswith("0x03")
        for device in (root / "sys/bus/pci/devices").glob("*")
    )


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """Return the fact; `root` is where /sys and /proc are."""
    loaded = re.search(r"Module\s+(?:for \S+\s+)?([\d.]+)", read(root / "proc/driver/nvidia/version"))
    fact: dict[str, Any] = {
        "health": "ok",
        "message": "",
        "count": 0,
        "driver": "",
        "cuda": "",
        "loaded": loaded[1] if loaded else read(root / "sys/module/nvidia/version"),
        "nouveau": (root / "sys/module/nouveau").is_dir(),
        "secure_boot": read(root / EFI_SECURE_BOOT)[-1:] == "\x01",
        "on_bus": on_bus(root),
        "gpus": [],
        "devices": [],
    }
    try:
        fact["gpus"] = gpus()
        fact["devices"] = usable(fact["gpus"])
        fact["count"] = len(fact["devices"])
        fact["driver"] = fact["gpus"][0]["driver"] if fact["gpus"] else ""
        fact["loaded"] = fact["loaded"] or fact["driver"]
        fact["cuda"] = cuda_level()
        ill = [f"GPU {gpu['index']}: {gpu['health']}" for gpu in fact["gpus"] if gpu["health"] != "ok"]
        if ill:
            fact["health"], fact["message"] = "ill", "; ".join(ill)
    except FaultError as error:
        fact["health"], fact["message"] = error.args
    except (ValueError, OSError) as error:
        fact["health"], fact["message"] = "error", f"nvidia-smi answered what is not understood: {error}"
    return fact


if __name__ == "__main__":
    json.dump(facts(), sys.stdout)
