"""Fleets as the role writes them down."""

from typing import Any

OPTIONS: dict[str, Any] = {
    "drain_idle": 60,
    "fail_timeout": "5s",
    "health_url": "http://127.0.0.1/healthz",
    "keepalive": 16,
    "keepalive_timeout": "4s",
    "max_fails": 2,
    "pool_clients": ["192.0.2.0/28"],
    "probe_fall": 3,
    "probe_interval": 1,
    "probe_limit": 1,
    "probe_path": "/readyz",
    "probe_rise": 2,
    "reload_interval": 5,
    "session_backups": 3,
}


def content(hosts: int, each: int) -> dict[str, Any]:
    return {
        "instances": [
            {
                "id": f"gpu{host}-{'abcdefgh'[number]}",
                "host": f"gpu{host}",
                "address": f"10.0.{host // 250}.{host % 250 + 1}",
                "port": 7861 + number,
            }
            for host in range(hosts)
            for number in range(each)
        ],
        "options": OPTIONS,
    }
