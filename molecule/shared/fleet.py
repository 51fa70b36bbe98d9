"""The hosts of the whole service, as an operator sees and treats them."""

import json
import time

import httpx
import lab
import testinfra

GPU1, GPU2 = (testinfra.get_host(spec) for spec in lab.hosts("gpu"))
GATEWAY = testinfra.get_host(lab.hosts("gateways")[0])
INSTANCES = {"gpu1-a": 7861, "gpu1-b": 7862, "gpu1-c": 7863, "gpu2-a": 7861}
HOSTS = {"gpu1": GPU1, "gpu2": GPU2}
URL = f"http://{lab.address('gw1')}"
METRICS = "/var/lib/prometheus/node-exporter/z_image_turbo_health.prom"


def pid(instance):
    """Return the process of an instance; nothing while it has none."""
    host = HOSTS[instance.partition("-")[0]]
    return host.run(f"pgrep -o -f '[a]pp.py --port {INSTANCES[instance]}$'").stdout.strip()


def pids():
    """Return the process of each instance."""
    return {instance: pid(instance) for instance in INSTANCES}


def kill(signal, *instances):
    """Send a signal to instances, with their whole process groups."""
    for instance in instances:
        HOSTS[instance.partition("-")[0]].check_output(f"kill -s {signal} -- -{pid(instance)}")


def is_ready(instance):
    """Tell whether an instance takes jobs, by its own word."""
    url = f"http://{lab.address(instance.partition('-')[0])}:{INSTANCES[instance]}/readyz"
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def in_service():
    """Return the instances that the gateway uses."""
    said = GATEWAY.run("timeout 10 z-image-turbo-gateway status --json")
    agent = json.loads(said.stdout)["agent"] if said.stdout else None
    return {name for name, row in (agent or {"instances": {}})["instances"].items() if row["level"] == "in"}


def whole():
    """Tell whether every instance is ready and in service."""
    return all(is_ready(instance) for instance in INSTANCES) and in_service() == set(INSTANCES)


def replaced(instance, before):
    """Return a condition: the service is whole, with another process for an instance."""
    return lambda: pid(instance) not in {"", before[instance]} and whole()


def events(host, since=0):
    """Return what the health check of a host has told, from the given line on."""
    lines = HOSTS[host].run("cat /var/log/z-image-turbo/health.log").stdout.splitlines()
    return [json.loads(line) for line in lines[since:]]


def figure(host, name):
    """Return a figure of the health check; None where there is none."""
    for line in HOSTS[host].run(f"cat {METRICS}").stdout.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rsplit(" ", 1)[1])
    return None


def checked(host, seconds=15.0):
    """Tell whether the health check of a host has looked within so many seconds."""
    when = figure(host, "z_image_turbo_health_last_run_timestamp_seconds")
    return when is not None and time.time() - when < seconds


def restarts(host):
    """Return how often the health check has restarted instances of a host."""
    return sum(one["event"] == "restart" for one in events(host))


def podman(verb, host):
    """Do something to the container that a host is."""
    testinfra.get_host("local://").check_output(f"{lab.ENGINE} {verb} {lab.PROJECT}-{host}")


def picture_seconds():
    """Return how long somebody waits for a small picture."""
    begin = time.monotonic()
    order = {"prompt": "a red circle", "width": 256, "height": 256}
    httpx.post(f"{URL}/sdapi/v1/txt2img", json=order, timeout=60).raise_for_status()
    return time.monotonic() - begin
