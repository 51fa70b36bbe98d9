"""Grafana, Loki and Alloy are installed from a mirror; their programs are stand-ins, which only answer."""

import socket

import pytest
import yaml
from conftest import HERE, NETWORK, on, play

WANTED = {
    "monitoring_grafana": True,
    "monitoring_grafana_password": 'a "long" one, 100%',
    "monitoring_loki": True,
    "monitoring_vendor_repository_url": "file:/srv/vendor",
    "monitoring_vendor_repository_key": "/srv/vendor/key.asc",
    "exporters_alloy_repository_url": "file:/srv/vendor",
    "exporters_alloy_repository_key": "/srv/vendor/key.asc",
}
SETTINGS = "/etc/z-image-turbo/monitoring"


@pytest.fixture(scope="module", autouse=True)
def repository():
    """A mirror of the vendor's repository on the monitoring host."""
    on("mon1", "apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "gpg", "gpg-agent")
    script = (HERE / "files/make_vendor_repository.py").read_text()
    on("mon1", "sh", "-c", "cat >/srv/make; python3 /srv/make /srv/vendor", data=script)


def test_grafana_and_loki_come_from_a_mirror_and_a_second_run_changes_nothing():
    installed = play("site.yml", "mon1", tags="monitoring", **WANTED)
    assert installed.rc == 0, installed.output
    on("mon1", "curl", "--silent", "--fail", "http://127.0.0.1:3000/api/health")
    on("mon1", "curl", "--silent", "--fail", "http://127.0.0.1:3100/ready")
    again = play("site.yml", "mon1", tags="monitoring", **WANTED)
    assert (again.rc, again.changed["mon1"]) == (0, 0), again.output
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((f"{NETWORK}.20", 3000), timeout=3)


def test_grafana_is_told_where_figures_and_logs_are_and_gets_every_dashboard():
    sources = yaml.safe_load(on("mon1", "cat", f"{SETTINGS}/grafana/datasources/z-image-turbo.yml"))
    urls = {source["uid"]: source["url"] for source in sources["datasources"]}
    assert urls == {
        "prometheus": "http://127.0.0.1:9090",
        "alertmanager": "http://127.0.0.1:9093",
        "loki": "http://127.0.0.1:3100",
    }
    providers = yaml.safe_load(on("mon1", "cat", f"{SETTINGS}/grafana/dashboards/z-image-turbo.yml"))
    folder = providers["providers"][0]["options"]["path"]
    there = on("mon1", "sh", "-c", f"cd {folder} && ls").split()
    wanted = (HERE.parents[1] / "roles/monitoring/files/dashboards").glob("*.json")
    assert sorted(there) == sorted(path.name for path in wanted)
    assert on("mon1", "cat", f"{SETTINGS}/grafana/password") == WANTED["monitoring_grafana_password"]
    assert on("mon1", "stat", "--format=%U:%G %a", f"{SETTINGS}/grafana/password") == "root:grafana 640\n"


def test_grafana_without_a_password_is_refused():
    refused = play("site.yml", "mon1", tags="monitoring", monitoring_grafana=True)
    assert refused.rc != 0
    assert "a monitoring_grafana_password of 12 characters" in " ".join(refused.output.split())


def test_alloy_takes_the_place_of_rsyslog():
    logs = {"exporters_logs": "alloy", "exporters_logs_to": "http://127.0.0.1:3100/loki/api/v1/push"}
    changed = play("site.yml", "mon1", tags="exporters", **WANTED, **logs)
    assert changed.rc == 0, changed.output
    assert on("mon1", "systemctl", "is-active", "alloy") == "active\n"
    assert "loki.write" in on("mon1", "cat", "/etc/alloy/config.alloy")
    again = play("site.yml", "mon1", tags="exporters", **WANTED, **logs)
    assert (again.rc, again.changed["mon1"]) == (0, 0), again.output
