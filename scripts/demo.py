"""Bring the demo up: local hosts, the whole service on them, and a picture through the gateway."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INVENTORY = "inventories/demo"
MONITORING = "inventories/demo_monitoring"
CONSOLES = {"Metrics": "http://127.0.0.1:9090", "Alerts": "http://127.0.0.1:9093"}
GATEWAY = "http://127.0.0.1:8080"
PICTURE = ROOT / ".cache" / "demo.png"
RECAP = re.compile(r"^\S+ +: ok=\d+ +changed=(?P<changed>\d+)", re.MULTILINE)


def play(playbook: str, inventories: list[str]) -> int:
    """Run a playbook, show what it says, and return how many tasks changed something."""
    output = []
    with subprocess.Popen(  # noqa: S603 - the command is ours
        [
            Path(sys.executable).with_name("ansible-playbook"),
            playbook,
            *(word for inventory in inventories for word in ("-i", inventory)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": str(sys.stdout.isatty())},
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            output.append(line)
    if process.returncode:
        sys.exit(f"error: {playbook} failed; what it says last above names the host and the reason")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "".join(output))
    return sum(int(found["changed"]) for found in RECAP.finditer(plain))


def draw(prompt: str) -> tuple[Path, str]:
    """Ask the gateway for a picture; return where it lies and which instance drew it."""
    request = urllib.request.Request(  # noqa: S310 - our own gateway
        f"{GATEWAY}/v1/images/generations",
        data=json.dumps({"prompt": prompt, "size": "256x256"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        instance = answer.headers.get("X-Served-By", "an instance")
        picture = base64.b64decode(json.load(answer)["data"][0]["b64_json"])
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    return PICTURE.relative_to(ROOT), instance


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", default="a red circle on a blue background")
    parser.add_argument("--monitoring", action="store_true", help="with a host that watches the others")
    arguments = parser.parse_args()
    inventories = [INVENTORY, *([MONITORING] if arguments.monitoring else [])]
    changed = play("playbooks/local_hosts.yml", inventories) + play("site.yml", inventories)
    play("playbooks/status.yml", inventories)
    picture, instance = draw(arguments.prompt)
    print(f"Gateway   {GATEWAY}")
    print(f"Picture   {picture}, drawn by {instance}: {arguments.prompt}")
    for name, address in CONSOLES.items() if arguments.monitoring else ():
        print(f"{name:<9} {address}")
    print(f"Changes   {changed or 'none, everything was as it should be'}")
    print("Remove    make demo-down")


if __name__ == "__main__":
    main()
