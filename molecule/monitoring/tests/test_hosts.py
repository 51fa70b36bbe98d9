"""Hosts come and go, alerts are told in time, and nobody needs the monitoring host."""

import json
import shutil
import subprocess
import time

import httpx
import lab
import pytest
import yaml
from conftest import (
    GATEWAY,
    INVENTORY,
    NETWORK,
    PROJECT,
    ask,
    draw,
    is_picture,
    on,
    play,
    query,
    run_on,
    told,
)

SCRAPE = 2  # seconds, of the scenario's inventory
INSTANCE_DOWN = 60  # seconds that the alert waits
HOW_LONG = "process_start_time_seconds{job='prometheus'}"


def started_at():
    return query(HOW_LONG)[0][1]


def watched():
    return {row["host"] for row, up in query('up{job="node"}') if up == 1}


def prometheus_answers():
    return run_on("mon1", "curl", "--silent", "--fail", "http://127.0.0.1:9090/-/ready").returncode == 0


@pytest.fixture
def one_host_more(tmp_path):
    """An inventory with a second GPU host, which is made; afterwards it goes."""
    inventory = tmp_path / "inventory"
    shutil.copytree(INVENTORY, inventory, symlinks=False)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    hosts["all"]["children"]["gpu"]["hosts"]["gpu2"] = {"address": f"{NETWORK}.12", "instances": 1}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (inventory / "group_vars/all/project.yml").write_text(f"---\nproject_folder: {lab.ROOT}\n")
    made = play("playbooks/local_hosts.yml", "gpu2", inventory)
    assert made.rc == 0, made.output
    yield inventory
    subprocess.run([lab.ENGINE, "rm", "--force", f"{PROJECT}-gpu2"], check=True, capture_output=True)


def test_a_new_host_is_watched_and_a_removed_one_is_not_without_a_restart(one_host_more):
    before = started_at()
    added = lab.play("site.yml", "gpu2,mon1", inventory=one_host_more, tags="exporters,monitoring_targets")
    assert added.rc == 0, added.output
    lab.wait_until(lambda: "gpu2" in watched(), 30)
    assert {row["instance"] for row, _ in query('up{job="z_image_turbo",host="gpu2"}')} == {"gpu2-a"}
    removed = lab.play("site.yml", "mon1", tags="monitoring_targets", inventory=INVENTORY)
    assert removed.rc == 0, removed.output
    lab.wait_until(lambda: not query('up{host="gpu2"}'), 30)
    assert started_at() == before


def messages(name, status, **labels):
    return [
        one
        for one in told()
        if one["labels"]["alertname"] == name
        and one["status"] == status
        and labels.items() <= one["labels"].items()
    ]


def test_whoever_is_on_call_hears_of_a_dead_instance_in_time_and_that_it_is_back(load):
    lab.wait_until(lambda: load.count(200) >= 2, 60)
    on("gpu1", "supervisorctl", "stop", "z-image-turbo-b")
    stopped = time.time()
    try:
        limit = INSTANCE_DOWN + 30
        fired = lab.wait_until(
            lambda: messages("InstanceDown", "firing", instance="gpu1-b", host="gpu1"), limit
        )
        assert not messages("InstanceDown", "firing", instance="gpu1-a")
    finally:
        on("gpu1", "supervisorctl", "start", "z-image-turbo-b")
        started = time.time()
    resolved = lab.wait_until(lambda: messages("InstanceDown", "resolved", instance="gpu1-b"), 120)
    print(f"told {fired[0]['time'] - stopped:.0f} s after it stopped")
    print(f"told that it is over {resolved[0]['time'] - started:.0f} s after its start")
    print(f"{len(load)} requests, {sum(status != 200 for status in load)} failed")
    assert set(load) == {200}


def test_the_deadman_is_heard_time_and_again():
    count = len(messages("Watchdog", "firing"))
    lab.wait_until(lambda: len(messages("Watchdog", "firing")) >= count + 2, 30)
    assert {one["receiver"] for one in messages("Watchdog", "firing")} == {"deadman"}


def test_alerts_about_what_an_operator_works_on_are_silent_until_the_work_is_done(tmp_path):
    playbook = tmp_path / "silence.yml"
    work = [
        {
            "name": "Work",
            "hosts": "gpu1",
            "gather_facts": False,
            "vars": {"monitoring_silence_matchers": {"host": "gpu1"}, "monitoring_silence_comment": "a test"},
            "tasks": [
                {
                    "name": "Tell",
                    "ansible.builtin.include_role": {
                        "name": "monitoring",
                        "tasks_from": "{{ what }}",
                    },
                }
            ],
        }
    ]
    playbook.write_text(yaml.safe_dump(work))
    silenced = play(str(playbook), "gpu1", what="silence")
    assert silenced.rc == 0, silenced.output
    active = [one for one in ask("/api/v2/silences", 9093) if one["status"]["state"] == "active"]
    assert [(m["name"], m["value"]) for one in active for m in one["matchers"]] == [("host", "gpu1")]
    alert = [{"labels": {"alertname": "Test", "host": "gpu1", "severity": "warning"}}]
    other = [{"labels": {"alertname": "Test", "host": "gpu9", "severity": "warning"}}]
    for one in (alert, other):
        url = "http://127.0.0.1:9093/api/v2/alerts"
        on("mon1", "curl", "--silent", "--fail", "--json", json.dumps(one), url)
    lab.wait_until(lambda: messages("Test", "firing", host="gpu9"), 30)
    assert not messages("Test", "firing", host="gpu1")
    done = play(str(playbook), "gpu1", what="unsilence")
    assert done.rc == 0, done.output
    assert not [one for one in ask("/api/v2/silences", 9093) if one["status"]["state"] == "active"]
    lab.wait_until(lambda: messages("Test", "firing", host="gpu1"), 30)


def test_one_request_id_leads_through_the_gateway_and_the_instance_to_its_job():
    answer = draw(**{"X-Request-Id": "a-user-asks-why-1"})
    assert is_picture(answer)
    instance = answer.headers["X-Served-By"]

    def found():
        done = run_on("mon1", "z-image-turbo-logs", "--json", "a-user-asks-why-1")
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        by_log = {(one["host"], one["log"]) for one in entries}
        return entries if by_log >= {("gw1", "gateway"), ("gpu1", "instance")} else None

    entries = lab.wait_until(found, 30)
    assert {one["instance"] for one in entries} == {instance}
    jobs = {one["job"] for one in entries if "job" in one}
    assert len(jobs) == 1
    shown = on("mon1", "z-image-turbo-logs", "a-user-asks-why-1")
    assert "POST /v1/images/generations" in shown
    assert "job started" in shown
    assert on("mon1", "z-image-turbo-logs", jobs.pop()).count("\n") >= 2


def test_users_notice_nothing_of_a_dead_monitoring_host_and_its_logs_come_later(load):
    lab.wait_until(lambda: len(load) >= 2, 60)
    subprocess.run([lab.ENGINE, "kill", f"{PROJECT}-mon1"], check=True, capture_output=True)
    try:
        before = len(load)
        assert is_picture(draw(**{"X-Request-Id": "nobody-watches-1"}))
        assert httpx.get(f"{GATEWAY}/readyz", timeout=5).status_code == 200
        lab.wait_until(lambda: len(load) >= before + 30, 120)
    finally:
        subprocess.run([lab.ENGINE, "start", f"{PROJECT}-mon1"], check=True, capture_output=True)
    lab.wait_until(
        lambda: run_on("mon1", "z-image-turbo-logs", "nobody-watches-1").stdout.count("\n") >= 3, 120
    )
    lab.wait_until(prometheus_answers, 60)
    lab.wait_until(lambda: {"gw1", "gpu1", "mon1"} <= watched(), 60)
    print(f"{len(load)} requests, {sum(status != 200 for status in load)} failed")
    assert set(load) == {200}


def test_a_host_that_nobody_watches_any_more_runs_no_exporter():
    gone = play("site.yml", "gw1", tags="exporters", exporters_state="absent")
    assert gone.rc == 0, gone.output
    for unit in ("prometheus-node-exporter", "prometheus-nginx-exporter", "mtail"):
        assert run_on("gw1", "systemctl", "is-active", unit).stdout == "inactive\n", unit
    assert run_on("gw1", "test", "-e", "/etc/rsyslog.d/60-z-image-turbo.conf").returncode != 0
    assert is_picture(draw())
    again = play("site.yml", "gw1", tags="exporters", exporters_state="absent")
    assert (again.rc, again.changed["gw1"]) == (0, 0), again.output
    back = play("site.yml", "gw1", tags="exporters")
    assert back.rc == 0, back.output
    lab.wait_until(lambda: {"gw1"} <= watched(), 30)
