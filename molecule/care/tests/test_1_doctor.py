"""The doctor names every fault that is there, with its host, and has nothing to say of a healthy service."""

import json

import lab
import pytest

CERTIFICATE = (
    "cd /etc/z-image-turbo/tls/current/ && openssl req -x509 -newkey rsa:2048 -nodes -days 3 "
    "-subj /CN=pictures.test -keyout privkey.pem -out fullchain.pem && systemctl reload nginx"
)
SQUATTER = "systemd-run --unit=squatter --collect python3 -m http.server 7861"
FULL = "mount -t tmpfs -o size=4m tmpfs /var/lib/prometheus && "
FULL += "head -c 3900000 /dev/zero >/var/lib/prometheus/full"
OLD = "printf '[program:z-image-turbo-old]\\ncommand=/bin/sleep 1d\\n' >/etc/supervisor/conf.d/old.conf"
FORMER = (
    'cd /etc/nginx/z-image-turbo && sed -i \'0,/"instances": \\[/s//'
    '"instances": [{"id": "gpu9-a", "host": "gpu9", "address": "192.0.2.9", "port": 7861},/\' fleet.json'
)
# The loop of this minute goes on without cron.
NO_MORE = "systemctl stop cron; pkill -f '[z]-image-turbo-health loop'"
STOPPED = "z_image_turbo_health_last_run_timestamp_seconds 1000000000"

# What is done to a host, where the doctor is to see it, and what it is to say.
FAULTS = {
    "an instance that is stopped": (
        "gpu2",
        "supervisorctl stop z-image-turbo-a",
        "instance gpu2-a",
        "STOPPED",
    ),
    "its port taken by another program": ("gpu2", SQUATTER, "port 7861", "http.server"),
    "a program that the inventory does not have": (
        "gpu2",
        OLD,
        "program z-image-turbo-old",
        "no such instance",
    ),
    "a full disk": ("gpu2", FULL, "disk of /var/lib/prometheus", "MB are free"),
    "an instance of another release than the host's": (
        "gpu1",
        "mkdir /opt/z-image-turbo/releases/other && ln -sfn releases/other /opt/z-image-turbo/current",
        "instance gpu1-a",
        "and the host's is other",
    ),
    "another environment than that of most": (
        "gpu1",
        "cd /opt/z-image-turbo/environments && mkdir other && ln -sfn other current",
        "the Python environment",
        "the hosts have different ones: gpu1 has other",
    ),
    "a health check that has stopped": (
        "gpu1",
        f"{NO_MORE}; echo {STOPPED} >/var/lib/prometheus/node-exporter/z_image_turbo_health.prom",
        "health check",
        "it has not looked for",
    ),
    "a certificate that ends soon": ("gw1", CERTIFICATE, "certificate", "ends in 3.0 days (limit 14)"),
    "a service that does not run": (
        "gw1",
        "systemctl stop z-image-turbo-certificate.timer",
        "z-image-turbo-certificate.timer",
        "it is inactive",
    ),
    "an instance that has left the inventory": ("gw1", FORMER, "gateway", "it still has gpu9-a"),
    "a host of another version": (
        "gw1",
        "echo 0.0.1 >/var/lib/z-image-turbo-ha/version",
        "the version",
        "0.0.1",
    ),
}
HEALED = {
    "gpu1": "ln -sfn $(ls -d /opt/z-image-turbo/releases/* | grep -v other) /opt/z-image-turbo/current; "
    "cd /opt/z-image-turbo/environments && ln -sfn $(ls -d [0-9a-f][0-9a-f]*) current && "
    "rm -r /opt/z-image-turbo/*/other; systemctl start cron",
    "gpu2": "systemctl stop squatter; rm /etc/supervisor/conf.d/old.conf; umount /var/lib/prometheus; "
    "supervisorctl start z-image-turbo-a",
}


def diagnosis(care, tmp_path):
    """Return the exit status of the doctor and what it wrote."""
    run = care.play("playbooks/doctor.yml", doctor_report=str(tmp_path / "report.json"))
    return run, json.loads((tmp_path / "report.json").read_text())


def test_it_has_nothing_to_say_of_a_healthy_service_and_changes_nothing(installed, tmp_path):
    run, told = diagnosis(installed, tmp_path)
    assert (run.rc, told["findings"]) == (0, []), run.output
    assert "Nothing is wrong: 5 hosts and 2 instances looked at." in run.output
    assert set(run.changed.values()) == {0}


@pytest.fixture(scope="module")
def ill(installed, tmp_path_factory):
    """The service with all the faults at once; returns what the doctor says of it."""
    for host, plant, _, _ in FAULTS.values():
        installed.on(host, plant, privileged=True)
    lab.wait_until(lambda: "gpu9-a" in installed.on("gw1", "z-image-turbo-gateway status --json"))
    yield diagnosis(installed, tmp_path_factory.mktemp("ill"))
    for host, heal in HEALED.items():
        installed.on(host, heal, privileged=True)
    healed = installed.play("site.yml")
    assert healed.rc == 0, healed.output


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_named_with_its_host_and_what_to_do(ill, fault):
    run, told = ill
    host, _, thing, said = fault
    named = [one for one in told["findings"] if thing in one["thing"] and said in one["found"]]
    assert named, told["findings"]
    assert named[0]["level"] == "fault"
    assert host in named[0]["host"]
    assert named[0]["advice"] in " ".join(run.output.split())


def test_a_fault_makes_it_fail_for_programs(ill):
    run, told = ill
    assert run.rc == 2
    assert told["faults"] >= len(FAULTS)


def test_a_host_that_cannot_be_reached_is_named_and_the_others_are_looked_at(installed, tmp_path):
    installed.on("gpu2", "systemctl stop ssh; pkill sshd; true")
    try:
        run, told = diagnosis(installed, tmp_path)
    finally:
        installed.on("gpu2", "systemctl start ssh")
    assert run.rc == 2
    assert ("gpu2", "host") in {(one["host"], one["thing"]) for one in told["findings"]}
    assert told["hosts"]["gpu1"]["ready"]["gpu1-a"]["status"] == "ready"
