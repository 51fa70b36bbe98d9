"""How long it takes to write, test and reload the configuration of a large fleet. Needs Nginx, and root.

    python3 benchmarks/gateway/scale.py [--hosts 1,10,100] [--each 3] [--rounds 5]

One line of JSON for each fleet. Nothing of the machine's own Nginx is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "roles/gateway/files/agent"))

from z_image_turbo_gateway import nginx
from z_image_turbo_gateway.fleet import read_fleet
from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.rendering import render, revision_of

PORT = 18080
HEALTH = f"http://127.0.0.1:{PORT}/healthz"
OPTIONS = {
    "drain_idle": 60,
    "fail_timeout": "5s",
    "health_url": HEALTH,
    "keepalive": 16,
    "keepalive_timeout": "4s",
    "max_fails": 2,
    "pool_clients": [],
    "probe_fall": 3,
    "probe_interval": 1,
    "probe_limit": 1,
    "probe_path": "/readyz",
    "probe_rise": 2,
    "reload_interval": 5,
    "session_backups": 3,
}
MAIN = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 2;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    map_hash_bucket_size 256;
    map_hash_max_size    8192;
    include {folder}/fleet.conf;
    map $upstream_addr $gateway_last_address {{ default ""; }}
    map $cookie_instance $gateway_session {{ default $cookie_instance; }}
    map $uri $gateway_file_host {{ default ""; }}
    server {{
        listen 127.0.0.1:{port};
        location /healthz {{ add_header X-Gateway-Fleet $gateway_fleet; return 200; }}
        location /files   {{ proxy_pass http://$gateway_file_pool; }}
        location /        {{ proxy_pass http://$gateway_session_pool; }}
        location /api     {{ proxy_pass http://api; }}
    }}
}}
"""


def main() -> None:
    """Measure each fleet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", default="1,10,100")
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for hosts in map(int, given.hosts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), hosts, given.each, given.rounds)


def _measure(folder: Path, hosts: int, each: int, rounds: int) -> None:
    paths = nginx.Paths(Path("/usr/sbin/nginx"), folder / "nginx.conf", folder)
    instances = [
        {
            "id": f"gpu{host}-{number}",
            "host": f"gpu{host}",
            "address": f"127.1.{host}.1",
            "port": 7861 + number,
        }
        for host in range(hosts)
        for number in range(each)
    ]
    paths.source.write_text(json.dumps({"instances": instances, "options": OPTIONS}))
    paths.main.write_text(MAIN.format(folder=folder, port=PORT))
    fleet = read_fleet(paths.source)
    nginx.write(render(fleet, {}), paths.servers)
    with subprocess.Popen([paths.nginx, "-c", paths.main]) as process:
        while nginx.running(HEALTH) == "":
            time.sleep(0.05)
        times: dict[str, list[float]] = {"render": [], "test": [], "reload": []}
        for number in range(rounds):
            out = {fleet.instances[0].id: Level.OUT if number % 2 == 0 else Level.IN}
            began = time.perf_counter()
            text = render(fleet, out)
            rendered = time.perf_counter()
            asyncio.run(nginx.check(text, paths))
            tested = time.perf_counter()
            nginx.write(text, paths.servers)
            os.kill(process.pid, signal.SIGHUP)
            while nginx.running(HEALTH) != revision_of(text):
                time.sleep(0.005)
            times["render"].append(rendered - began)
            times["test"].append(tested - rendered)
            times["reload"].append(time.perf_counter() - tested)
        memory = Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1].split("kB")[0]
        process.terminate()
    row = {
        "instances": hosts * each,
        "file_kB": round(len(text) / 1000, 1),
        **{f"{name}_ms": round(statistics.median(values) * 1000, 1) for name, values in times.items()},
        "master_MB": round(int(memory) / 1024, 1),
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
