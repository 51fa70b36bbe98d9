"""Hosts whose network has no way out get the whole service from a bundle, up to a picture."""

import base64
import io
import subprocess
from pathlib import Path

import httpx
import lab
import pytest
from PIL import Image

INVENTORY = Path(__file__).resolve().parents[1] / "inventory"
PROJECT = "z-image-turbo-airgap" + (f"-{lab.LAB}" if lab.LAB else "")
GATEWAY = f"http://10.90.{78 + lab.LAB}.10"


def play(playbook, limit="all", **variables):
    return lab.play(playbook, limit, inventory=INVENTORY, **variables)


def on(host, *command):
    """Run a command on a host."""
    return subprocess.run(
        [lab.ENGINE, "exec", f"{PROJECT}-{host}", *command], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def hosts():
    """Build the bundle on this machine, which is connected, and make the hosts, which are not."""
    built = play("playbooks/bundle.yml", "")
    assert built.rc == 0, built.output
    made = play("playbooks/local_hosts.yml")
    assert made.rc == 0, made.output
    yield
    assert play("playbooks/local_hosts.yml", local_hosts_state="absent").rc == 0


@pytest.mark.parametrize("host", ["gw1", "gpu1"])
def test_the_hosts_have_no_way_out(host):
    assert on(host, "curl", "--silent", "--max-time", "3", "http://deb.debian.org").returncode != 0
    assert on(host, "ip", "route", "get", "192.0.2.1").returncode != 0


def test_an_archive_that_is_not_the_one_which_was_built_is_refused_before_it_is_used(tmp_path):
    refused = play("site.yml", bundle_sha256="0" * 64, bundle_unpacked=str(tmp_path / "unpacked"))
    assert refused.rc != 0
    assert "nothing of it was used" in " ".join(refused.output.split())
    assert not (tmp_path / "unpacked").exists()
    assert on("gw1", "ls", "/etc/apt/apt.conf.d/99z-image-turbo-bundle").returncode != 0


def test_the_whole_service_installs_and_draws_a_picture_through_the_gateway():
    installed = play("site.yml")
    assert installed.rc == 0, installed.output
    body = {"prompt": "a red circle on a blue background", "size": "256x256"}
    answer = httpx.post(f"{GATEWAY}/v1/images/generations", json=body, timeout=120)
    assert answer.status_code == 200
    picture = Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))
    assert picture.size == (256, 256)


def test_every_package_came_from_the_bundle():
    for host, package in (("gw1", "nginx"), ("gpu1", "supervisor")):
        assert "file:/var/lib/z-image-turbo/bundle" in on(host, "apt-cache", "policy", package).stdout


def test_a_second_run_changes_nothing():
    again = play("site.yml")
    assert again.rc == 0, again.output
    assert again.changed == {"gw1": 0, "gpu1": 0}


def test_the_uninstall_takes_the_bundle_with_it():
    gone = play("playbooks/uninstall.yml", uninstall_confirmed=True)
    assert gone.rc == 0, gone.output
    for host in ("gw1", "gpu1"):
        assert on(host, "ls", "/var/lib/z-image-turbo").returncode != 0
        assert on(host, "ls", "/etc/apt/apt.conf.d/99z-image-turbo-bundle").returncode != 0


def test_a_control_node_without_a_way_out_is_made_from_what_was_carried_over():
    script = """
        set -e
        cd /root
        tar -xzf /bundle/z-image-turbo-bundle.tar.d/repository.tar.gz
        cd z-image-turbo-ha
        BUNDLE=/bundle/z-image-turbo-bundle.tar.d scripts/bootstrap
        . .venv/bin/activate
        ansible-playbook playbooks/check_inventory.yml -i inventories/mixed
    """
    made = on("gw1", "sh", "-c", script)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "failed=0" in made.stdout
