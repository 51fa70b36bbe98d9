"""Hosts and a network of its own: the service, small, and a host that watches it."""

import base64
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import lab
import pytest

HERE = Path(__file__).resolve().parents[1]
INVENTORY = HERE / "inventory"
PROJECT = "z-image-turbo-watched" + (f"-{lab.LAB}" if lab.LAB else "")
NETWORK = f"10.91.{78 + lab.LAB}"
GATEWAY = f"http://{NETWORK}.10"
ON_CALL = "/var/tmp/on-call.jsonl"
ON_CALL_UNIT = f"""[Service]
ExecStart=/usr/bin/python3 /usr/local/bin/on-call 9999 {ON_CALL}
[Install]
WantedBy=multi-user.target
"""
PICTURE = {"prompt": "a red circle on a blue background", "size": "256x256"}


def play(playbook, limit="all", inventory=INVENTORY, tags="all", **variables):
    """Run a playbook on hosts of the scenario."""
    return lab.play(playbook, limit, inventory=inventory, tags=tags, **variables)


def on(host, *command, data=None):
    """Run a command on a host and return what it says; it has to succeed."""
    done = run_on(host, *command, data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_on(host, *command, data=None):
    """Run a command on a host."""
    return subprocess.run(
        [lab.ENGINE, "exec", "--interactive", f"{PROJECT}-{host}", *command],
        input=data,
        capture_output=True,
        text=True,
        check=False,
    )


def ask(path, port=9090):
    """Return what Prometheus (or Alertmanager) answers, from the monitoring host itself."""
    return json.loads(on("mon1", "curl", "--silent", "--fail", "--globoff", f"http://127.0.0.1:{port}{path}"))


def query(expression):
    """Return the series of an expression, each as labels and value."""
    said = on(
        "mon1",
        *("curl", "--silent", "--fail", "--get", "http://127.0.0.1:9090/api/v1/query"),
        *("--data-urlencode", f"query={expression}"),
    )
    return [(row["metric"], float(row["value"][1])) for row in json.loads(said)["data"]["result"]]


def value(expression):
    """Return the one value of an expression, None where there is no series."""
    rows = query(expression)
    assert len(rows) <= 1, rows
    return rows[0][1] if rows else None


def told():
    """Return what whoever is on call was told."""
    return [json.loads(line) for line in on("mon1", "cat", ON_CALL).splitlines()]


def draw(url=GATEWAY, **headers):
    return httpx.post(f"{url}/v1/images/generations", json=PICTURE, headers=headers, timeout=120)


@contextmanager
def gpus(*figures):
    """Have a stand-in of nvidia-smi on the GPU host tell of a GPU for each of the figures."""
    script = (lab.ROOT / "molecule/cuda/files/fake_nvidia_smi.py").read_text()
    told = [{"name": "NVIDIA L40S", "memory": 46068, "figures": each} for each in figures]
    on("gpu1", "sh", "-c", "cat >/etc/fake-nvidia.json", data=json.dumps({"gpus": told}))
    on("gpu1", "sh", "-c", "cat >/usr/bin/nvidia-smi; chmod 755 /usr/bin/nvidia-smi", data=script)
    try:
        yield
    finally:
        on("gpu1", "rm", "/usr/bin/nvidia-smi")


@pytest.fixture(scope="session", autouse=True)
def service():
    """Make the hosts, check mode first, and the service on them."""
    made = play("playbooks/local_hosts.yml")
    assert made.rc == 0, made.output
    checked = play_check()
    assert checked.returncode == 0, checked.stdout
    installed = play("site.yml")
    assert installed.rc == 0, installed.output
    script = (HERE / "files" / "on_call.py").read_text()
    on("mon1", "sh", "-c", "cat >/usr/local/bin/on-call; touch " + ON_CALL, data=script)
    on("mon1", "sh", "-c", "cat >/etc/systemd/system/on-call.service", data=ON_CALL_UNIT)
    on("mon1", "systemctl", "enable", "on-call")
    on("mon1", "systemctl", "restart", "on-call")
    yield
    assert os.environ.get("KEEP") or play("playbooks/local_hosts.yml", local_hosts_state="absent").rc == 0


def play_check():
    """Try the two roles on fresh hosts: nothing may be in the way of check mode."""
    playbook = Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [
            playbook,
            "site.yml",
            f"--inventory={INVENTORY}",
            "--check",
            "--diff",
            "--tags=exporters,monitoring",
        ],
        cwd=lab.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def load():
    """Ask for pictures all the time, two at once, and return the answers so far."""
    answers, ended = [], threading.Event()

    def ask_on():
        while not ended.is_set():
            try:
                answers.append(draw().status_code)
            except httpx.HTTPError as error:
                answers.append(repr(error))

    threads = [threading.Thread(target=ask_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield answers
    ended.set()
    for thread in threads:
        thread.join()


def is_picture(answer):
    return base64.b64decode(answer.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")
