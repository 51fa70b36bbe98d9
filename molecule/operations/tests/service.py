"""The service of this scenario: its hosts, its playbooks, and what runs."""

import json
import shutil

import httpx
import lab
import testinfra

INVENTORY = lab.ROOT / "molecule/operations/inventory"
GATEWAY = testinfra.get_host(lab.hosts("operations_gateways")[0])
HOSTS = dict(
    zip(lab.names("operations_gpu"), map(testinfra.get_host, lab.hosts("operations_gpu")), strict=True)
)
INSTANCES = {f"{host}-{name}": (host, port) for host in HOSTS for name, port in (("a", 7861), ("b", 7862))}
URL = f"http://{lab.address('opsgw1')}"
AGENT = "/usr/local/sbin/z-image-turbo-gateway"


def play(verb, **variables):
    """Run a playbook of the operator's on this service."""
    return lab.play(f"playbooks/{verb}.yml", "", inventory=INVENTORY, **variables)


def dry_run(verb, **variables):
    """Run it in check mode."""
    return lab.dry_run(f"playbooks/{verb}.yml", inventory=INVENTORY, **variables)


def release(tmp_path, name, app=lab.ROOT / "app", program=None):
    """Make a release of its own: the application with a note, and perhaps with another program."""
    source = shutil.copytree(app, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "note.txt").write_text(name)
    if program:
        (source / "app.py").write_text(program)
    return str(source)


def url(instance):
    """Return where an instance answers by itself."""
    host, port = INSTANCES[instance]
    return f"http://{lab.address(host)}:{port}"


def condition(instance):
    """Return what an instance says of itself; nothing when it is not ready."""
    try:
        answer = httpx.get(f"{url(instance)}/readyz", timeout=10)
    except httpx.HTTPError:
        return {}
    return answer.json() if answer.status_code == 200 else {}


def releases():
    """Return the release that each instance serves with; nothing for one that does not."""
    return {instance: condition(instance).get("release") for instance in INSTANCES}


def the_release():
    """Return the one release that all instances serve with."""
    (one,) = set(releases().values())
    assert one, releases()
    return one


def pids():
    """Return the process of each instance that runs."""
    found = {}
    for host, machine in HOSTS.items():
        for line in machine.run("supervisorctl status").stdout.splitlines():
            program, state, *rest = line.split()
            if state == "RUNNING":
                found[f"{host}-{program[-1]}"] = rest[1].rstrip(",")
    return found


def gateway_view():
    """Return the level of every instance at the gateway, and in whose name it is drained."""
    rows = json.loads(GATEWAY.check_output(f"{AGENT} status --json"))["agent"]["instances"]
    return {name: (row["level"], row["drained_by"]) for name, row in rows.items()}


def all_in():
    """Tell whether the gateway gives work to all instances."""
    return set(gateway_view().values()) == {("in", None)}


def left_behind():
    """Return the notes and holds of changes that are under way."""
    places = "/var/lib/z-image-turbo/rollout/under_way /run/z-image-turbo-health/hold"
    return [
        name
        for machine in HOSTS.values()
        for name in machine.run(f"ls -1 {places}").stdout.split()
        if not name.startswith("/")
    ]
