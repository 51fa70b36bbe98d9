"""What is wrong with one host, by its report and the inventory. A look yields level, thing, found, advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.plugin_utils.gpus import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plugins.plugin_utils.diagnosis import Host, Limits

    Told = Iterator[tuple[str, str, str, str]]

FAULT, NOTE = "fault", "note"
GB = 1_000_000_000
DAY = 86400.0
RUNNING = "RUNNING"
KEPT = "model_store_kept, pytorch_environments_kept, z_image_turbo_releases_kept"
AGAIN = "run site.yml"


def share(part: float, whole: float, words: str, limit: float) -> str:
    """Return how much of something there is, and how much there should be."""
    return f"{part:.1f} of {whole:.1f} {words} ({100 * part / whole:.0f} %, limit {limit:.0f} %)"


def look_at_gpus(host: Host, _: Limits) -> Told:
    """Compare the driver and its GPUs with the plan."""
    if not host.gpus:
        return
    fact = host.report["gpu"]
    if fact is None:
        yield FAULT, "GPU driver", "the host has no local fact of its GPUs", "run site.yml --tags cuda"
        return
    if fact.get("health") != "ok":
        told = str(fact.get("message") or fact.get("health"))
        yield FAULT, "GPU driver", told, "see docs/gpu-hosts.md"
        return
    devices = fact.get("devices", [])
    if len(devices) != host.gpus:
        models = ", ".join(sorted({str(device["model"]) for device in devices})) or "none"
        yield (
            FAULT,
            "GPUs",
            f"gpus is {host.gpus} in the inventory, and the host has {len(devices)}: {models}",
            "correct gpus in the inventory, or see nvidia-smi and the kernel's log for what is missing",
        )
    for instance in host.instances:
        gpu, needs = instance.get("gpu"), instance.get("memory")
        if gpu is not None and needs and gpu < len(devices) and devices[gpu]["memory"] * MIB < needs:
            yield (
                FAULT,
                f"GPU {gpu}",
                f"it has {devices[gpu]['memory'] * MIB:.1f} GB, and {instance['id']} needs {needs:.1f}",
                "choose another preset or fewer instances, see docs/gpu-hosts.md",
            )


def look_at_memory(host: Host, limits: Limits) -> Told:
    """Tell when the host is about to run out of memory."""
    size, available = host.report["memory"]["size"], host.report["memory"]["available"]
    if 100 * available / size < limits.memory_free_percent:
        yield (
            FAULT,
            "memory",
            share(available / GB, size / GB, "GB are available", limits.memory_free_percent),
            "see what takes it (ps aux --sort -rss | head), or run fewer instances",
        )


def look_at_disks(host: Host, limits: Limits) -> Told:
    """Tell which disks are nearly full, of room or of files."""
    for folder, disk in host.report["disks"].items():
        unit, name = (GB, "GB") if disk["size"] >= GB else (GB / 1000, "MB")
        for size, free, one, words in (
            (disk["size"], disk["free"], unit, name),
            (disk["files"], disk["files_free"], 1.0, "files"),
        ):
            if size and 100 * free / size < limits.disk_free_percent:
                yield (
                    FAULT,
                    f"disk of {folder}",
                    share(free / one, size / one, f"{words} are free", limits.disk_free_percent),
                    f"see what takes it: du -xh --max-depth 2 {folder} | sort -h | tail; see also {KEPT}",
                )


def look_at_clock(host: Host, limits: Limits) -> Told:
    """Compare the clock with that of the control node, as exactly as a question's way allows."""
    ahead = host.report["time"] - host.report["asked"]
    if -limits.clock_seconds <= ahead <= limits.clock_seconds + limits.answer_seconds:
        return
    synchronised = host.report["synchronised"]
    said = "" if synchronised not in ("yes", "no") else f"; synchronised: {synchronised}"
    yield (
        FAULT,
        "clock",
        f"it is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the control node{said}",
        "set it (apt install systemd-timesyncd; timedatectl set-ntp true): certificates and logs go by it",
    )


def look_at_programs(host: Host, _: Limits) -> Told:
    """Tell which instances Supervisor does not run, and which it runs without the inventory knowing them."""
    programs = host.report["programs"]
    if error := programs.get("error"):
        yield (
            FAULT,
            "Supervisor",
            f"it does not answer: {error}",
            "systemctl restart supervisor (ends all instances)",
        )
        return
    planned = {instance["program"]: instance for instance in host.instances}
    for program, instance in planned.items():
        if program not in programs:
            yield FAULT, f"instance {instance['id']}", "Supervisor does not know it", AGAIN
        elif (state := programs[program]) != RUNNING:
            yield (
                FAULT,
                f"instance {instance['id']}",
                f"Supervisor has it as {state}",
                f"its log says why: tail {instance['log']}; then supervisorctl start {program}",
            )
    known = set(programs) | set(host.report["configured"])
    for program in sorted(
        name for name in known if name.startswith("z-image-turbo-") and name not in planned
    ):
        state = programs.get(program, "not taken over by Supervisor")
        yield (
            FAULT,
            f"program {program}",
            f"the inventory has no such instance on this host, but it is there ({state})",
            "run site.yml, which removes it; or put the instance back into the inventory",
        )


def look_at_instances(host: Host, _: Limits) -> Told:
    """Tell which instances do not take jobs, although Supervisor runs them."""
    ports = {int(port): program for port, program in host.report["ports"].items()}
    for instance in host.instances:
        if host.report["programs"].get(instance["program"], RUNNING) != RUNNING:
            if program := ports.get(instance["port"]):
                yield (
                    FAULT,
                    f"port {instance['port']}",
                    f"{instance['id']} cannot have it: another program listens there: {program}",
                    "end that program, or give the instance another port",
                )
            continue
        yield from _answer(instance, host.report["ready"][instance["id"]], ports)


def _answer(instance: dict[str, Any], answer: dict[str, Any], ports: dict[int, str]) -> Told:
    name = f"instance {instance['id']}"
    if error := answer.get("error"):
        listening = ports.get(instance["port"])
        said = f"; on the port is: {listening}" if listening else "; nobody listens on its port"
        yield (
            FAULT,
            name,
            f"no answer at {instance['endpoint']}/readyz: {error}{said}",
            f"tail {instance['log']}; supervisorctl restart {instance['program']}",
        )
    elif answer.get("instance", instance["id"]) != instance["id"]:
        yield (
            FAULT,
            f"port {instance['port']}",
            f"{answer['instance']} answers where {instance['id']} should",
            "run site.yml; if it stays: end the process on that port",
        )
    elif (status := answer.get("status")) == "loading":
        yield NOTE, name, "it is loading the model", "wait until it is ready"
    elif status != "ready":
        reason = f": {answer['reason']}" if answer.get("reason") else ""
        yield (
            FAULT,
            name,
            f"it is {status or 'not ready'}{reason}",
            f"tail {instance['log']}; supervisorctl restart {instance['program']}",
        )


def look_at_units(host: Host, _: Limits) -> Told:
    """Tell which services do not run."""
    for unit, state in host.report["units"].items():
        if state != "active":
            yield FAULT, unit, f"it is {state}", f"systemctl restart {unit}; journalctl -u {unit}"


def look_at_certificate(host: Host, limits: Limits) -> Told:
    """Tell when the certificate ends soon, and when clients get another one than is on disk."""
    told = host.report["certificates"]
    if not told:
        return
    logs = "journalctl -u z-image-turbo-certificate -u certbot"
    for where, words in (("disk_error", "on disk"), ("served_error", "that clients get")):
        if where in told:
            yield FAULT, "certificate", f"the one {words} cannot be read: {told[where]}", logs
    for where, words in (("disk", "on disk"), ("served", "that clients get")):
        end = told.get(where)
        if end is None:
            continue
        days = (end - host.report["time"]) / DAY
        if days < limits.certificate_days:
            ended = f"ended {-days:.1f} days ago" if days < 0 else f"ends in {days:.1f} days"
            yield (
                FAULT,
                "certificate",
                f"the one {words} {ended} (limit {limits.certificate_days:.0f})",
                f"{logs}; then run site.yml --tags certificates",
            )
    if "disk" in told and "served" in told and told["disk"] != told["served"]:
        yield (
            FAULT,
            "certificate",
            "clients get another one than is on disk",
            "systemctl start z-image-turbo-certificate; journalctl -u z-image-turbo-certificate",
        )


def look_at_health_check(host: Host, limits: Limits) -> Told:
    """Tell what the health check has found, and whether it still looks."""
    health = host.report["health"]
    if not health:
        return
    for figure in health["figures"]:
        name, instance = figure["name"], figure.get("instance", "")
        if name == "last_run_timestamp_seconds":
            age = host.report["time"] - figure["value"]
            if age > limits.health_seconds:
                yield (
                    FAULT,
                    "health check",
                    f"it has not looked for {age:.0f} s (limit {limits.health_seconds:.0f})",
                    "systemctl status cron; journalctl -u cron",
                )
        elif (
            name == "state" and figure["value"] == 1 and figure.get("state") in ("stuck", "dead", "gpu_lost")
        ):
            yield (
                FAULT,
                f"instance {instance}",
                f"the health check has it as {figure['state']}",
                "see its log",
            )
        elif name == "restart_budget_left" and figure["value"] <= 0:
            yield (
                FAULT,
                f"instance {instance}",
                "it was restarted so often that the health check has given it up",
                "see its log; once the reason is gone: supervisorctl restart",
            )
        elif name == "deep_check_success" and figure["value"] == 0:
            yield FAULT, f"instance {instance}", "it draws no proper picture (deep check)", "see its log"


def look_at_version(host: Host, _: Limits) -> Told:
    """Tell when the repository has another application or version than the host."""
    release = host.report["links"].get("release")
    if host.release and release and release != host.release:
        yield (
            NOTE,
            "release",
            f"it has {release}, and the repository has {host.release}",
            "playbooks/upgrade.yml or site.yml brings it there",
        )
    if host.version and host.report["version"] not in ("", host.version):
        yield NOTE, "version", f"it has {host.report['version']}, and the repository is {host.version}", AGAIN


def look_at_lock(host: Host, _: Limits) -> Told:
    """Tell who is at work on the host."""
    lock = host.report["lock"]
    if lock:
        there = lock.get("control", {}).get("host")
        minutes = (host.report["time"] - float(lock.get("since", 0))) / 60
        yield (
            NOTE,
            "lock",
            f"{lock.get('user')} runs {lock.get('playbook')} on it from {there}, for {minutes:.0f} minutes",
            "wait for its end; what a dead run has left: playbooks/unlock.yml",
        )


LOOKS = (
    look_at_gpus,
    look_at_memory,
    look_at_disks,
    look_at_clock,
    look_at_programs,
    look_at_instances,
    look_at_units,
    look_at_certificate,
    look_at_health_check,
    look_at_version,
    look_at_lock,
)
