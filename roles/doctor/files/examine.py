#!/usr/bin/python3
"""Looks at one host and tells what it sees, as JSON on standard output. It changes and judges nothing.

Standard input says what to look at. Whatever cannot be looked at is told as `null` or as an error in words;
each question has a limit of its own, so that a host on which something hangs answers as well.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SECONDS = 10.0
ANSWER_SECONDS = 5.0
GPU_FACT = Path("/etc/ansible/facts.d/gpu.fact")
GATEWAY = Path("/usr/local/sbin/z-image-turbo-gateway")
RECORD = Path("/var/lib/z-image-turbo-ha")
HEALTH_FIGURES = Path("/var/lib/prometheus/node-exporter/z_image_turbo_health.prom")
HEALTH_LOG = Path("/var/log/z-image-turbo/health.log")
EVENTS = 20
EVENT_BYTES = 65536
FIGURE = re.compile(r"^z_image_turbo_health_(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LISTENING = "0A"


def ask(*command: str) -> tuple[int, str]:
    """Return status and words of a command; one that hangs has the status 124."""
    with tempfile.TemporaryFile("w+") as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - words of ours
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            return 127, str(error)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # and no waiting: one that hangs in the kernel does not die
            return 124, f"{command[0]} did not answer in {SECONDS:.0f} s"
        output.seek(0)
        return status, output.read().strip()


def disks(folders: list[str]) -> dict[str, dict[str, float]]:
    """Return room and number of files, in all and free, of the file system of each folder that is there."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    for folder in folders:
        try:
            there, device = os.statvfs(folder), os.stat(folder).st_dev  # noqa: PTH116 - beside statvfs
        except OSError:
            continue
        found.setdefault(
            device,
            {
                folder: {
                    "size": there.f_blocks * there.f_frsize,
                    "free": there.f_bavail * there.f_frsize,
                    "files": there.f_files,
                    "files_free": there.f_favail,
                }
            },
        )
    return {folder: room for disk in found.values() for folder, room in disk.items()}


def memory() -> dict[str, int]:
    """Return the memory of the host and what of it is available, in bytes."""
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    return {"size": int(told["MemTotal"]) * 1024, "available": int(told["MemAvailable"]) * 1024}


def gpu() -> dict[str, Any] | None:
    """Return the local fact of the GPUs, None where the host has none."""
    if not GPU_FACT.exists():
        return None
    status, said = ask(str(GPU_FACT))
    try:
        fact: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"health": "error", "message": f"{GPU_FACT} failed with status {status}: {said[-200:]}"}
    return fact


def programs() -> dict[str, str]:
    """Return the state of each program of Supervisor; `error` where it does not answer."""
    status, said = ask("supervisorctl", "status")
    rows = [line.split(None, 2) for line in said.splitlines()]
    if status in (124, 127) or any(word in said for word in ("refused", "no such file", "SHUTDOWN_STATE")):
        return {"error": said[-200:] or f"status {status}"}
    return {row[0]: row[1] for row in rows if len(row) > 1}


def ports() -> dict[int, str]:
    """Return the ports on which somebody listens, with the name of the program."""
    inodes: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        inodes |= {row[9]: int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == LISTENING}
    found = dict.fromkeys(inodes.values(), "")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
            if target.startswith("socket:[") and target[8:-1] in inodes:
                words = (link.parents[1] / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found[inodes[target[8:-1]]] = " ".join(words)[:80].strip()
        except OSError:  # it has ended
            continue
    return found


def ready(instance: dict[str, Any]) -> dict[str, Any]:
    """Return what an instance says at /readyz."""
    began = time.monotonic()
    try:
        with urllib.request.urlopen(
            f"http://{instance['endpoint']}/readyz", timeout=ANSWER_SECONDS
        ) as answer:
            body, status = answer.read(65536), answer.status
    except urllib.error.HTTPError as error:
        body, status = error.read(65536), error.code
    except OSError as error:
        return {"error": str(getattr(error, "reason", error))}
    try:
        told = json.loads(body)
    except ValueError:
        return {"error": f"HTTP {status}, and what it says is not that of an instance"}
    answer_ = told if isinstance(told, dict) else {}
    return {"http": status, "seconds": round(time.monotonic() - began, 3), **answer_}


def units(names: list[str]) -> dict[str, str]:
    """Return the state of each unit of systemd."""
    said = (
        ask("systemctl", "show", "--property=Id,ActiveState,UnitFileState,LoadState", *names)[1]
        if names
        else ""
    )
    found = {}
    for block in said.split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if told:
            state = told.get("ActiveState", "")
            found[told.get("Id", "")] = "missing" if told.get("LoadState") == "not-found" else state
    return found


def links(named: dict[str, str]) -> dict[str, str | None]:
    """Return where links lead, None for one that leads nowhere."""
    return {name: Path(path).resolve().name if Path(path).exists() else None for name, path in named.items()}


def agent() -> dict[str, Any] | None:
    """Return what the agent of a gateway tells, None where there is none."""
    if not GATEWAY.exists():
        return None
    said = ask(str(GATEWAY), "status", "--json")[1]
    try:
        told: dict[str, Any] = json.loads(said)["agent"] or {"error": "it does not run"}
    except (ValueError, KeyError, TypeError):
        return {"error": said[-200:]}
    return told


def certificates(wanted: dict[str, str]) -> dict[str, Any]:
    """Return the seconds since 1970 at which the certificate on disk ends, and the one that clients get."""
    if not wanted:
        return {}
    told: dict[str, Any] = {}
    for where, pem in (("disk", on_disk(wanted["folder"])), ("served", served(wanted))):
        if pem.startswith("-----BEGIN"):
            told[where] = ends(pem)
            told[f"{where}_self_signed"] = self_signed(pem)
        else:
            told[f"{where}_error"] = pem
    return told


def on_disk(folder: str) -> str:
    """Return the first certificate of a folder as PEM, or what is wrong."""
    try:
        text = (Path(folder) / "fullchain.pem").read_text()
    except OSError as error:
        return str(error)
    return text[text.find("-----BEGIN CERTIFICATE") :]


def served(wanted: dict[str, str]) -> str:
    """Return the certificate that clients get as PEM, or what is wrong."""
    host, port = wanted["served_at"].rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=wanted["name"] or None) as tls,
        ):
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
    except OSError as error:
        return str(error)


def ends(pem: str) -> float | None:
    """Return when a certificate ends."""
    said = openssl(pem, "-enddate", "-dateopt", "iso_8601")
    found = re.search(r"notAfter=(\S+ \S+)Z", said)
    return calendar.timegm(time.strptime(found[1], "%Y-%m-%d %H:%M:%S")) if found else None


def self_signed(pem: str) -> bool:
    """Tell whether nobody else has signed it."""
    told = dict(re.findall(r"^(subject|issuer)=(.*)$", openssl(pem, "-subject", "-issuer"), re.MULTILINE))
    return told.get("subject") == told.get("issuer")


def openssl(pem: str, *arguments: str) -> str:
    """Return what OpenSSL tells of a certificate."""
    done = subprocess.run(  # noqa: S603 - words of ours
        ["/usr/bin/openssl", "x509", "-noout", *arguments],
        input=pem,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def health() -> dict[str, Any] | None:
    """Return what the health check has written last, None where there is none."""
    try:
        text = HEALTH_FIGURES.read_text()
    except OSError:
        return None
    figures = [
        {"name": name, **dict(re.findall(r'(\w+)="([^"]*)"', labels or "")), "value": float(value)}
        for name, labels, value in FIGURE.findall(text)
    ]
    return {"figures": figures, "events": events()}


def events() -> list[dict[str, Any]]:
    """Return the last lines of the health check's log."""
    found = []
    try:
        with HEALTH_LOG.open("rb") as log:
            log.seek(max(0, HEALTH_LOG.stat().st_size - EVENT_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-EVENTS:]
    except OSError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in found if isinstance(event, dict)]


def addresses() -> list[str]:
    """Return the IP addresses of the host."""
    try:
        told = json.loads(ask("ip", "-json", "address", "show")[1])
    except ValueError:
        return []
    return [address["local"] for card in told for address in card.get("addr_info", ()) if "local" in address]


def configured(pattern: str) -> list[str]:
    """Return the programs that Supervisor is configured with, of the files that a pattern names."""
    files = Path("/").glob(pattern.lstrip("/"))
    return sorted(
        name for file in files for name in re.findall(r"^\[program:(.+)\]", file.read_text(), re.MULTILINE)
    )


def text(path: Path) -> str:
    """Return a file's text, empty where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def lock() -> dict[str, Any] | None:
    """Return the run that is at work on the host."""
    try:
        found: dict[str, Any] = json.loads(text(RECORD / "lock.json"))
    except ValueError:
        return None
    return found


def report(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return all that there is to tell of this host."""
    told: dict[str, Any] = {"asked": wanted["asked"], "time": time.time()}
    with ThreadPoolExecutor(8) as several:
        answers = several.map(ready, wanted["instances"])
        told |= {
            "synchronised": ask("timedatectl", "show", "--property=NTPSynchronized", "--value")[1],
            "disks": disks(wanted["folders"]),
            "memory": memory(),
            "gpu": gpu() if wanted["gpus"] else None,
            "programs": programs() if wanted["instances"] else {},
            "configured": configured(wanted["programs_file"]),
            "ports": ports(),
            "units": units(wanted["units"]),
            "links": links(wanted["links"]),
            "agent": agent() if wanted["gateway"] else None,
            "certificates": certificates(wanted["certificate"]),
            "health": health(),
            "addresses": addresses(),
            "version": text(RECORD / "version"),
            "lock": lock(),
            "ready": {one["id"]: answer for one, answer in zip(wanted["instances"], answers, strict=True)},
        }
    return told


if __name__ == "__main__":
    json.dump(report(json.load(sys.stdin)), sys.stdout)
