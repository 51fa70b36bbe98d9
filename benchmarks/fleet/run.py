"""Measure how long a run of site.yml takes that has nothing to change, and how that grows with the hosts.

usage: python -m benchmarks.fleet.run --hosts 48 --sizes 1,10,24,48 [--site PATH] [--output FILE] [--keep]

The hosts are containers of this machine with a real systemd: two gateways, and GPU hosts of one instance,
which is a small program in place of the application. One GPU host is installed; the others are copies of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
INVENTORY = ROOT / ".cache" / "fleet"
PROJECT = "z-image-turbo-fleet"
IMAGE = f"localhost/{PROJECT}"
ENGINE = os.environ.get("ENGINE") or "podman"
GPU = {"gpus": [{"name": "NVIDIA L40S", "memory": 46068}], "driver": "580.95.05", "cuda": "13.0"}
FACTS = re.compile(
    r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+) +skipped=(\d+)", re.MULTILINE
)


def write_inventory(hosts: int) -> None:
    """Write an inventory of so many GPU hosts and of two gateways, with the variables beside this file."""
    shutil.rmtree(INVENTORY, ignore_errors=True)
    shutil.copytree(FOLDER / "inventory", INVENTORY)
    gateways = {f"gw{number}": {"address": f"10.92.78.{number + 1}"} for number in (1, 2)}
    workers = {f"gpu{number}": {"address": f"10.92.78.{number + 10}"} for number in range(1, hosts + 1)}
    groups = {"gateways": {"hosts": gateways}, "gpu": {"hosts": workers}}
    (INVENTORY / "hosts.json").write_text(json.dumps({"all": {"children": groups}}))


def play(playbook: Path, *options: str) -> str:
    """Run a playbook; return what it said."""
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        playbook,
        f"--inventory={INVENTORY}",
        *options,
    ]
    done = subprocess.run(
        [*map(str, command), f"--extra-vars=repository={ROOT}"],
        cwd=playbook.parent if playbook.name == "site.yml" else ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(_root_of(playbook) / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout[-6000:] + done.stderr[-2000:])
    return done.stdout


def _root_of(playbook: Path) -> Path:
    return next(folder for folder in playbook.resolve().parents if (folder / "ansible.cfg").exists())


def podman(*arguments: str) -> str:
    """Run a command of the engine."""
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=True).stdout


def make_hosts(hosts: int) -> None:
    """Make the gateways and one GPU host, install that one, and make the others of its disk."""
    local_hosts = ROOT / "playbooks" / "local_hosts.yml"
    play(local_hosts, "--limit=gateways:gpu1")
    give_gpu("gpu1")
    play(ROOT / "site.yml", "--limit=gpu1")
    podman("exec", f"{PROJECT}-gpu1", "rm", "-rf", "/var/lib/z-image-turbo-ha/lock.json")
    podman("commit", "--quiet", f"{PROJECT}-gpu1", IMAGE)
    for first in range(2, hosts + 1, 8):  # eight at a time boot without starving each other
        some = ":".join(f"gpu{number}" for number in range(first, min(first + 8, hosts + 1)))
        play(local_hosts, f"--limit={some}", f"--extra-vars=__local_hosts_image={IMAGE}")
    play(ROOT / "site.yml", "--extra-vars=rollout_serial=100%")


def give_gpu(host: str) -> None:
    """Give a host a GPU, as far as nvidia-smi tells."""
    stand_in = ROOT / "molecule" / "cuda" / "files" / "fake_nvidia_smi.py"
    podman("cp", str(stand_in), f"{PROJECT}-{host}:/usr/local/bin/nvidia-smi")
    podman("exec", f"{PROJECT}-{host}", "chmod", "+x", "/usr/local/bin/nvidia-smi")
    said = f"cat >/etc/fake-nvidia.json <<'END'\n{json.dumps(GPU)}\nEND"
    podman("exec", f"{PROJECT}-{host}", "bash", "-c", said)


def measure(site: Path, size: int) -> dict[str, Any]:
    """Run `site` for the gateways and so many GPU hosts; return what it took."""
    hosts = ",".join(["gateways", *(f"gpu{number}" for number in range(1, size + 1))])
    load, before, began = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    said = play(site, f"--limit={hosts}")
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = {row[0]: [int(number) for number in row[1:]] for row in FACTS.findall(said)}
    one = rows["gpu1"]
    return {
        "gpu_hosts": size,
        "seconds": round(wall, 1),
        "seconds_per_host": round(wall / (size + 2), 2),
        "control_node_cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "tasks_of_a_gpu_host": one[0],
        "skipped_of_a_gpu_host": one[4],
        "changed": sum(row[1] for row in rows.values()),
        "load_before": round(load, 1),
    }


def main() -> None:
    """Make the hosts, measure, and remove them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=48, help="GPU hosts to make")
    parser.add_argument("--sizes", default="1,10,24,48", help="how many of them a run is for")
    parser.add_argument(
        "--site", type=Path, default=ROOT / "site.yml", help="of another checkout, to compare"
    )
    parser.add_argument("--output", type=Path, help="a file of JSON lines to append to")
    parser.add_argument("--keep", action="store_true", help="use the hosts that are there, and leave them")
    given = parser.parse_args()
    if not given.keep:
        write_inventory(given.hosts)
        make_hosts(given.hosts)
    try:
        for size in map(int, given.sizes.split(",")):
            row = {"site": _root_of(given.site).name, **measure(given.site.resolve(), size)}
            print(json.dumps(row), flush=True)
            if given.output:
                with given.output.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    finally:
        if not given.keep:
            play(ROOT / "playbooks" / "local_hosts.yml", "--extra-vars=local_hosts_state=absent")


if __name__ == "__main__":
    main()
