"""Ways in which a gateway dies, and how it is brought back."""

import subprocess
from typing import NamedTuple

import lab


class Fault(NamedTuple):
    """What to do to a gateway, and what to do to bring it back; `{}` is its container."""

    name: str
    strike: str
    repair: str


INSIDE = f"{lab.ENGINE} exec {{}} "
FAULTS = [
    Fault("stop nginx", INSIDE + "systemctl stop nginx", INSIDE + "systemctl start nginx"),
    Fault("kill -9 nginx, all processes", INSIDE + "pkill -9 nginx", INSIDE + "systemctl start nginx"),
    Fault("hang nginx (SIGSTOP)", INSIDE + "pkill -STOP nginx", INSIDE + "pkill -CONT nginx"),
    Fault("stop keepalived", INSIDE + "systemctl stop keepalived", INSIDE + "systemctl start keepalived"),
    Fault(
        "kill -9 keepalived, all processes",
        INSIDE + "pkill -9 keepalived",
        INSIDE + "systemctl start keepalived",
    ),
    Fault("freeze the host", f"{lab.ENGINE} pause {{}}", f"{lab.ENGINE} unpause {{}}"),
    Fault("power off the host", f"{lab.ENGINE} kill {{}}", f"{lab.ENGINE} start {{}}"),
    Fault("network down", INSIDE + "ip link set eth0 down", INSIDE + "ip link set eth0 up"),
]


def run(command: str, host: str) -> None:
    """Run the command of a fault on a host."""
    subprocess.run(command.format(f"{lab.PROJECT}-{host}").split(), check=True, capture_output=True)


def holders(address: str) -> list[str]:
    """Return the gateways that have an address; one that is down has none."""
    return [
        host
        for host in lab.names("virtual_ip")
        if f" {address}/"
        in subprocess.run(
            [lab.ENGINE, "exec", f"{lab.PROJECT}-{host}", "ip", "-brief", "address"],
            check=False,
            capture_output=True,
            text=True,
        ).stdout
    ]


def holder(address: str) -> str:
    """Return the gateway that has an address, once it is one alone."""

    def alone() -> list[str]:
        found = holders(address)
        return found if len(found) == 1 else []

    (host,) = lab.wait_until(alone)
    return host
