#!/usr/bin/python3
"""Stands in for nvidia-smi: answers as a file says, /etc/fake-nvidia.json or the one FAKE_NVIDIA names.

Keys: mode (ok, no_driver, mismatch, no_devices, lost, hang), driver, cuda, gpus (each with name, memory in
MiB, and as needed uuid, ecc, persistence, figures: {field: answer}, and apps, lines of what uses it).

MIG is that of an H100 with 80 GB, and can be changed: mig of a GPU are the profiles that it is divided into.
A change of the mode waits for a reboot where waits is true, or for the end of the service that it names.
`refuses` is a profile that is not created, whatever is listed.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("FAKE_NVIDIA", "/etc/fake-nvidia.json"))
FAULTS = {
    "no_driver": (
        9,
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
    ),
    "mismatch": (
        18,
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95",
    ),
    "no_devices": (6, "No devices were found"),
    "lost": (
        15,
        "Unable to determine the device handle for GPU0000:41:00.0: GPU is lost.  Reboot the system",
    ),
}
# As a card of this kind lists them: number, most, memory in GiB, multiprocessors, places, slices.
PROFILES = {
    "1g.10gb": (19, 7, 9.75, 16, "0,1,2,3,4,5,6", 1),
    "1g.10gb+me": (20, 1, 9.75, 16, "0,1,2,3,4,5,6", 1),
    "1g.20gb": (15, 4, 19.62, 26, "0,2,4,6", 2),
    "2g.20gb": (14, 3, 19.62, 32, "0,2,4", 2),
    "3g.40gb": (9, 2, 39.50, 60, "0,4", 4),
    "4g.40gb": (5, 1, 39.50, 64, "0", 4),
    "7g.80gb": (0, 1, 79.25, 132, "0", 8),
}
RULE = "+-----------------------------------------------------------------------------+"


def uuid(index, gpu):
    return gpu.get("uuid", f"GPU-{index:08x}-0000-4000-8000-000000000000")


def bus(index):
    return f"00000000:{index + 16:02X}:00.0"


def capable(gpu):
    return gpu["memory"] >= 80000


def query(state, fields):
    for index, gpu in enumerate(state["gpus"]):
        mig = "[N/A]" if not capable(gpu) else "Enabled" if gpu.get("mig") is not None else "Disabled"
        known = {
            "index": index,
            "uuid": uuid(index, gpu),
            "name": gpu["name"],
            "memory.total": gpu["memory"],
            "driver_version": state["driver"],
            "mig.mode.current": mig,
            "persistence_mode": "Enabled" if gpu.get("persistence", True) else "Disabled",
            "ecc.errors.uncorrected.volatile.total": gpu.get("ecc", "[N/A]"),
            **gpu.get("figures", {}),
        }
        for field in fields:
            if field not in known:
                sys.exit(f'Field "{field}" is not a valid field to query.')
        print(", ".join(str(known[field]) for field in fields))


def listing(state):
    for index, gpu in enumerate(state["gpus"]):
        print(f"GPU {index}: {gpu['name']} (UUID: {uuid(index, gpu)})")
        for number, profile in enumerate(gpu.get("mig") or []):
            print(f"  MIG {profile:<11} Device {number:>2}: (UUID: MIG-{index}-{number})")


def waits(reason):
    if not isinstance(reason, str):
        return reason
    return subprocess.run(["systemctl", "is-active", "--quiet", reason], check=False).returncode == 0


def set_mode(state, index, mode):
    gpu = state["gpus"][index]
    if not capable(gpu):
        print(f"Unable to enable MIG Mode for GPU {bus(index)}: Not Supported")
        sys.exit(3)
    if waits(gpu.get("waits", False)):
        word = "enable" if mode == "1" else "disable"
        print(
            f"Warning: MIG mode is in pending {word} state for GPU {bus(index)}:In use by another client\n"
            f"{bus(index)} is currently being used by one or more other processes (e.g. CUDA "
            "application or a monitoring application such as another instance of nvidia-smi). Please first "
            "kill all processes using the device and retry the command or reboot the system to make "
            "MIG mode effective."
        )
    elif mode == "1":
        gpu["mig"] = gpu.get("mig") or []
        print(f"Enabled MIG Mode for GPU {bus(index)}")
    else:
        gpu.pop("mig", None)
        print(f"Disabled MIG Mode for GPU {bus(index)}")
    print("All done.")


def list_profiles(gpus):
    print(RULE)
    print("| GPU instance profiles:                                                      |")
    print("| GPU   Name             ID    Instances   Memory     P2P    SM    DEC   ENC  |")
    print("|                              Free/Total   GiB              CE    JPEG  OFA  |")
    print(RULE.replace("-", "=").replace("+", "|"))
    for index in gpus:
        for name, (number, most, memory, processors, *_) in PROFILES.items():
            print(
                f"|   {index}  MIG {name:<12} {number:>3}     {most}/{most}       {memory:>5.2f}       "
                f"No     {processors:<3}    1     0   |"
            )
            print("|                                                             1     1     0   |")
            print(RULE)


def list_places(gpus):
    for index in gpus:
        for number, _, _, _, places, size in PROFILES.values():
            word = "Placements" if "," in places else "Placement "
            print(f"GPU  {index} Profile ID {number:>2} {word}: {{{places}}}:{size}")


def create(state, index, wanted):
    gpu, by_number = state["gpus"][index], {str(row[0]): name for name, row in PROFILES.items()}
    taken = set()
    for place, one in enumerate(wanted.split(",")):
        name, _, start = one.partition(":")
        name = by_number.get(name, name)
        number, *_, size = PROFILES[name]
        slices = set(range(int(start), int(start) + size)) if start else set()
        if name == state.get("refuses") or slices & taken:
            print("Failed to create GPU instances: Insufficient Resources")
            sys.exit(19)
        taken |= slices
        gpu["mig"].append(name)
        print(
            f"Successfully created GPU instance ID {place:>2} on GPU  {index} using profile MIG {name} "
            f"(ID {number:>2})\nSuccessfully created compute instance ID  0 on GPU  {index} GPU instance ID "
            f"{place:>2} using profile MIG {name} (ID  0)"
        )


def mig(state, arguments):
    chosen = [int(arguments[1])] if arguments[:1] == ["-i"] else range(len(state["gpus"]))
    words = arguments[2:] if arguments[:1] == ["-i"] else arguments
    able = [index for index in chosen if state["gpus"][index].get("mig") is not None]
    if not able:
        print("No MIG-enabled devices found.")
        sys.exit(6)
    if words == ["-lgip"]:
        list_profiles(able)
    elif words == ["-lgipp"]:
        list_places(able)
    elif words == ["-dci"]:
        print("\n".join(f"Successfully destroyed compute instance ID  0 from GPU  {index}" for index in able))
    elif words == ["-dgi"]:
        for index in able:
            state["gpus"][index]["mig"] = []
    elif words[0] == "-cgi" and words[2:] == ["-C"]:
        create(state, able[0], words[1])
    else:
        sys.exit(f"the stand-in does not know mig {arguments}")


def answer(state, arguments):
    first = arguments[0] if arguments else ""
    if first == "-L":
        listing(state)
    elif first.startswith("--query-gpu="):
        query(state, first.removeprefix("--query-gpu=").split(","))
    elif first == "-q":
        print(f"Driver Version                            : {state['driver']}")
        print(f"CUDA Version                              : {state['cuda']}")
    elif first == "-i" and arguments[2] == "-mig":
        set_mode(state, int(arguments[1]), arguments[3])
    elif first == "-i" and arguments[2].startswith("--query-compute-apps="):
        print("\n".join(state["gpus"][int(arguments[1])].get("apps", [])))
    elif first == "mig":
        mig(state, arguments[1:])
    else:
        sys.exit(f"the stand-in does not know {arguments}")


def main():
    with STATE.open() as file:  # whoever asks may not be allowed to write
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        state = {"mode": "ok", "driver": "580.95.05", "cuda": "13.0", "gpus": []} | json.loads(text)
        if state["mode"] == "hang":
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(3600)
        if state["mode"] in FAULTS:
            status, words = FAULTS[state["mode"]]
            print(words)
            sys.exit(status)
        before = json.dumps(state)
        try:
            answer(state, sys.argv[1:])
        finally:
            if json.dumps(state) != before:
                STATE.write_text(json.dumps(state))


main()
