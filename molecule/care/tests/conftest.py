"""Hosts of this scenario's own: one after the other they are installed, fall ill, and are uninstalled."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import lab
import pytest

INVENTORY = Path(__file__).resolve().parents[1] / "inventory"
PROJECT = "z-image-turbo-care" + (f"-{lab.LAB}" if lab.LAB else "")
NETWORK = f"10.92.{78 + lab.LAB}"
HOSTS = ("gw1", "gw2", "gpu1", "gpu2", "mon1")

# Of Debian's own tools and of Ansible, whoever uses them; none of it is the service's.
SCRATCH = (
    *(
        "/proc",
        "/sys",
        "/run",
        "/dev",
        "/tmp",
        "/var/tmp",
        "/var/log/journal",
        "/var/log/apt",
        "/var/log/dpkg.log",
        "/root/.ansible",
    ),
    *(
        "/var/cache/apt",
        "/var/lib/apt",
        "/var/cache/debconf",
        "/var/cache/ldconfig",
        "/var/lib/dpkg",
        "/var/lib/ucf",
    ),
    *("/var/lib/systemd", "/wheelhouse", "/models"),
)


# What gw2 served before the service came.
EARLIER = """
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends nginx >/dev/null
echo of somebody >/var/www/html/index.html && systemctl start nginx
"""
# Debian writes these anew at each change of a user or a library.
VARYING = (
    "-name 'ld.so.cache' -o -name '*-' -o -name 'passwd' -o -name '*shadow' -o -name group -o -name 'sub?id'"
)


class Snapshot(NamedTuple):
    """How a host is: everything that an installation could leave behind."""

    files: set
    settings: set
    users: set
    services: set
    packages: set


class Care:
    """The hosts, and playbooks on them."""

    url = f"http://{NETWORK}.10"

    def play(self, playbook, limit="all", inventory=INVENTORY, **variables):
        """Run a playbook."""
        return lab.play(playbook, limit, inventory=inventory, **variables)

    def on(self, host, command, privileged=False):
        """Run a command of the shell on a host; return what it says."""
        done = subprocess.run(
            [
                *(lab.ENGINE, "exec", *(["--privileged"] if privileged else [])),
                *(f"{PROJECT}-{host}", "bash", "-c", command),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def snapshot(self, host):
        """Return how a host is."""
        pruned = " -o ".join(f"-path {folder}" for folder in SCRATCH)
        listed = self.on(
            host, f"find / \\( {pruned} -o -name __pycache__ \\) -prune -o -printf '%y %m %u:%g %p\\n'"
        )
        units = self.on(host, "systemctl list-unit-files --no-legend --no-pager | awk '{print $1, $2}'")
        packages = self.on(host, "dpkg-query --show --showformat='${Package} ${db:Status-Status}\\n'")
        return Snapshot(
            set(listed.splitlines()),
            set(self.on(host, f"find /etc -type f ! \\( {VARYING} \\) -exec sha256sum {{}} +").splitlines()),
            set(self.on(host, "cat /etc/passwd /etc/group").splitlines()),
            set(units.splitlines()),
            set(packages.splitlines()),
        )


@pytest.fixture(scope="session")
def care():
    """Fresh hosts, which are removed again."""
    hosts = Care()
    made = hosts.play("playbooks/local_hosts.yml")
    assert made.rc == 0, made.output
    yield hosts
    assert (
        os.environ.get("KEEP") or hosts.play("playbooks/local_hosts.yml", local_hosts_state="absent").rc == 0
    )


@pytest.fixture(scope="session")
def fresh(care):
    """How each host was before the service came; one served something already."""
    care.on("gw2", EARLIER)
    return {host: care.snapshot(host) for host in HOSTS}


@pytest.fixture(scope="session")
def installed(care, fresh):
    """The service on these hosts."""
    assert fresh
    run = care.play("site.yml")
    assert run.rc == 0, run.output
    return care
