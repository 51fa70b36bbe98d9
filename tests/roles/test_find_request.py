"""The command that finds a request in the logs of all hosts."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).parents[2] / "roles/monitoring/files/find_request.py"
GATEWAY = {
    "time": "2026-11-25T10:00:03+00:00",
    "request_id": "r1",
    "client": "192.0.2.99",
    "principal": "alice",
    "method": "POST",
    "uri": "/v1/images/generations",
    "status": "200",
    "seconds": "2.5",
    "instance": "gpu1-b",
    "upstream": "192.0.2.11:7861, 192.0.2.11:7862",
    "upstream_status": "502, 200",
}
ACCEPTED = {
    "time": "2026-11-25T10:00:00.500+00:00",
    "level": "INFO",
    "message": "job accepted",
    "instance": "gpu1-b",
    "request": "r1",
    "job": "j1",
    "size": "256x256",
}
OTHER = {**ACCEPTED, "request": "r10", "job": "j2"}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of a gateway and of a GPU host, one of them of yesterday."""
    for host in ("gw1", "gpu1"):
        (tmp_path / host).mkdir()
    (tmp_path / "gw1/gateway.log").write_text(json.dumps(GATEWAY) + "\nno JSON at all r1\n{broken r1\n")
    with gzip.open(tmp_path / "gpu1/instance.log.2.gz", "wt") as log:
        log.write(json.dumps(OTHER) + "\n" + json.dumps(ACCEPTED) + "\n")
    return tmp_path


def look(logs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "--folder", logs, *words], capture_output=True, text=True, check=False)


def entries(logs: Path, word: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in look(logs, "--json", word).stdout.splitlines()]


def test_a_request_is_found_at_the_gateway_and_at_its_instance_in_the_order_of_time(logs: Path) -> None:
    assert [(entry["host"], entry["log"]) for entry in entries(logs, "r1")] == [
        ("gpu1", "instance"),
        ("gw1", "gateway"),
    ]


def test_a_job_is_found_as_well(logs: Path) -> None:
    assert [entry["request"] for entry in entries(logs, "j1")] == ["r1"]


def test_people_are_told_which_instances_were_tried(logs: Path) -> None:
    shown = look(logs, "r1").stdout
    assert "gpu1 gpu1-b" in shown
    assert "job accepted job=j1 size=256x256" in shown
    assert "alice: 200 in 2.5 s, by gpu1-b, tried 192.0.2.11:7861, 192.0.2.11:7862 (502, 200)" in shown


def test_an_id_that_no_log_knows_is_said_so(logs: Path) -> None:
    done = look(logs, "r")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No log knows r." in done.stderr
