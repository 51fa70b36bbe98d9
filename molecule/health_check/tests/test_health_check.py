"""The promises of the health check: who is restarted, who is left alone, and what an operator is told."""

import json
import time

import lab
import pytest

testinfra_hosts = lab.hosts("health_check")
PORTS = {"a": 7861, "b": 7862}
METRICS = "/var/lib/prometheus/node-exporter/z_image_turbo_health.prom"
LOG = "/var/log/z-image-turbo/health.log"
LOCK = "/run/lock/z-image-turbo-health"
HELPED_SECONDS = 30  # a few looks of a second each, and a stop that may take five


def figures(host):
    """Return what Prometheus would read, by name and labels."""
    lines = host.file(METRICS).content_string.splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def states(host):
    """Return the state of each instance, as its figures tell it."""
    prefix = "z_image_turbo_health_state{"
    return {
        name.split('"')[1].removeprefix("health1-"): name.split('"')[3]
        for name, value in figures(host).items()
        if name.startswith(prefix) and value
    }


def events(host):
    """Return the lines of the log."""
    return [json.loads(line) for line in host.run(f"cat {LOG}").stdout.splitlines()]


def pids(host):
    """Return the process id of each running program."""
    rows = [line.split() for line in host.run("supervisorctl status").stdout.splitlines()]
    return {row[0].removeprefix("z-image-turbo-"): row[3].rstrip(",") for row in rows if row[1] == "RUNNING"}


def tell(host, name, what):
    """Have an instance fail."""
    host.check_output(f"curl --silent --fail --data '' http://127.0.0.1:{PORTS[name]}/stub/{what}")


def looked_again(host):
    """Return when the check looked last."""
    return figures(host)["z_image_turbo_health_last_run_timestamp_seconds"]


def all_ready(host):
    """Tell whether every instance is well, by the check's own word."""
    return states(host) == dict.fromkeys(PORTS, "ready")


def forget(host):
    """End the checks that run or wait, and what they remembered; tell whether that was done."""
    host.run("pkill -f '[z]-image-turbo-health'")
    return host.run(f"flock -o -n {LOCK} rm -f /run/z-image-turbo-health/state.json").rc == 0


def begin_loop(host):
    """Have the check begin anew, with no memory of what it did before."""
    lab.wait_until(lambda: forget(host))
    host.check_output(
        f"(setsid flock -o -w 5 {LOCK} z-image-turbo-health loop --seconds 110 >/dev/null 2>&1 &)"
    )


@pytest.fixture(autouse=True)
def begun(host):
    """Begin with a host that is well and a check that remembers nothing; return how much was told before."""
    host.check_output("mkdir -p /run/stub && rm -f /run/stub/* /run/z-image-turbo-health/hold/*")
    host.run("supervisorctl start all")
    begin_loop(host)
    lab.wait_until(lambda: all_ready(host) and time.time() - looked_again(host) < 2, 60)
    return len(events(host))


def test_the_command_shows_every_instance_and_its_exit_status_is_for_programs(host):
    shown = host.run("z-image-turbo-health")
    assert shown.rc == 0, shown.stdout
    assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [
        ["health1-a", "ready"],
        ["health1-b", "ready"],
    ]
    host.check_output("supervisorctl stop z-image-turbo-b")
    told = host.run("z-image-turbo-health --json")
    assert told.rc == 1
    assert json.loads(told.stdout)["instances"]["health1-b"]["state"] == "dead"


def test_one_that_hangs_is_restarted_and_no_other_and_the_operator_is_told(host, begun):
    before = pids(host)
    host.check_output(f"kill -STOP {before['a']}")
    lab.wait_until(lambda: pids(host).get("a") not in {None, before["a"]}, HELPED_SECONDS)
    lab.wait_until(lambda: all_ready(host))
    assert pids(host)["b"] == before["b"]
    told = [(one["event"], one.get("state")) for one in events(host)[begun:]]
    assert told[:2] == [("state", "stuck"), ("restart", None)]
    assert told[-1] == ("state", "ready")
    assert figures(host)['z_image_turbo_health_restarts_total{instance="health1-a",reason="silent"}'] == 1
    assert figures(host)['z_image_turbo_health_restart_budget_left{instance="health1-a"}'] == 2


def test_one_that_says_it_has_failed_is_restarted(host):
    before = pids(host)
    tell(host, "b", "failed")
    lab.wait_until(lambda: pids(host).get("b") not in {None, before["b"]}, HELPED_SECONDS)
    lab.wait_until(lambda: all_ready(host))
    assert pids(host)["a"] == before["a"]


def test_one_that_works_and_has_no_time_to_answer_is_left_alone(host):
    before = pids(host)
    tell(host, "a", "mute")
    lab.wait_until(lambda: states(host)["a"] == "busy")
    begin = looked_again(host)
    lab.wait_until(lambda: looked_again(host) > begin + 15)
    assert states(host) == {"a": "busy", "b": "ready"}
    assert pids(host) == before
    host.check_output("supervisorctl restart z-image-turbo-a")


def test_two_that_hang_are_restarted_one_after_the_other(host, begun):
    before = pids(host)
    host.check_output(f"kill -STOP {before['a']} {before['b']}")
    lab.wait_until(lambda: not set(before.values()) & set(pids(host).values()) and all_ready(host), 60)
    story = [
        (one["event"], one.get("state"), one["instance"])
        for one in events(host)[begun:]
        if one["event"] == "restart" or one.get("state") == "ready"
    ]
    first, second = story[0][2], story[2][2]
    assert first != second
    assert story == [
        ("restart", None, first),
        ("state", "ready", first),
        ("restart", None, second),
        ("state", "ready", second),
    ]


def test_what_an_operator_works_on_or_has_stopped_is_left_alone_until_he_forgets_it(host):
    before = pids(host)
    host.check_output("touch /run/z-image-turbo-health/hold/health1-a")
    host.check_output(f"supervisorctl stop z-image-turbo-b; kill -STOP {before['a']}")
    lab.wait_until(lambda: states(host) == {"a": "stuck", "b": "dead"})
    begin = looked_again(host)
    lab.wait_until(lambda: looked_again(host) > begin + 5)
    assert pids(host) == {"a": before["a"]}
    assert "(held)" in host.run("z-image-turbo-health").stdout
    host.check_output("touch -d '-31 minutes' /run/z-image-turbo-health/hold/health1-a")
    lab.wait_until(lambda: pids(host).get("a") not in {None, before["a"]}, HELPED_SECONDS)
    assert "b" not in pids(host)


def test_a_lost_gpu_is_told_and_its_instance_not_restarted_in_vain(host):
    before = pids(host)
    host.check_output("echo 0 >/run/stub/lost; touch /run/stub/health1-a-failed")
    lab.wait_until(lambda: states(host) == {"a": "gpu_lost", "b": "ready"}, HELPED_SECONDS)
    after = pids(host)
    begin = looked_again(host)
    lab.wait_until(lambda: looked_again(host) > begin + 12)
    assert pids(host) == {**after, "b": before["b"]}
    assert "GPU is lost" in host.run("z-image-turbo-health").stdout
    host.check_output("rm /run/stub/lost /run/stub/health1-a-failed")
    lab.wait_until(lambda: all_ready(host), HELPED_SECONDS)


def test_pictures_that_are_none_have_an_instance_restarted(host):
    before = pids(host)
    lab.wait_until(
        lambda: figures(host).get('z_image_turbo_health_deep_check_success{instance="health1-a"}') == 1
    )
    host.check_output("touch /run/stub/health1-a-black")
    begin_loop(host)  # to which the picture of each is due
    lab.wait_until(lambda: pids(host).get("a") not in {None, before["a"]}, 55)
    assert pids(host)["b"] == before["b"]
    assert figures(host)['z_image_turbo_health_deep_check_success{instance="health1-a"}'] == 0


def test_what_no_restart_mends_is_given_up_and_told_and_helped_again_when_it_was_mended(host):
    before = pids(host)
    host.check_output("touch /run/stub/health1-a-broken")
    host.check_output(f"kill -9 {before['a']}")
    lab.wait_until(lambda: [one for one in events(host)[-20:] if one["event"] == "given_up"], 240)
    assert figures(host)['z_image_turbo_health_restart_budget_left{instance="health1-a"}'] == 0
    assert "given up" in host.run("z-image-turbo-health").stdout
    assert pids(host) == {"b": before["b"]}
    host.check_output("rm /run/stub/health1-a-broken && supervisorctl start z-image-turbo-a")
    lab.wait_until(lambda: all_ready(host), 75)
    assert "given up" not in host.run("z-image-turbo-health").stdout


def test_an_orphan_that_holds_the_port_makes_way(host):
    host.check_output("supervisorctl stop z-image-turbo-a")
    host.check_output(
        "(ZIMAGE_NAME=health1-a ZIMAGE_RELEASE=old ZIMAGE_START_SECONDS=0 setsid /usr/bin/python3"
        " /opt/z-image-turbo/current/app.py --port 7861 >/dev/null 2>&1 &)"
    )
    host.run("supervisorctl start z-image-turbo-a")
    lab.wait_until(lambda: "orphan_ended" in {one["event"] for one in events(host)[-20:]}, 75)
    lab.wait_until(lambda: all_ready(host), 60)
    assert host.check_output("pgrep --count --full '[a]pp.py --port 7861'") == "1"


def test_supervisor_that_hangs_is_told_and_its_instances_go_on(host, begun):
    before = pids(host)
    host.check_output("systemctl kill --kill-who=main --signal=STOP supervisor")
    try:
        lab.wait_until(lambda: figures(host)["z_image_turbo_health_supervisor_up"] == 0)
        assert states(host) == dict.fromkeys(PORTS, "ready")
    finally:
        host.check_output("systemctl kill --kill-who=main --signal=CONT supervisor")
    lab.wait_until(lambda: figures(host)["z_image_turbo_health_supervisor_up"] == 1)
    assert pids(host) == before
    assert [one["answers"] for one in events(host)[begun:] if one["event"] == "supervisor"] == [False, True]


def test_the_check_needs_nothing_of_the_application(host):
    host.check_output("mv /opt/z-image-turbo /opt/gone")
    try:
        assert host.run("z-image-turbo-health").rc == 0
    finally:
        host.check_output("mv /opt/gone /opt/z-image-turbo")


def test_many_checks_at_once_are_one(host):
    begin = looked_again(host)
    command = host.check_output("sed -n 's/^[* ]* root //p' /etc/cron.d/z-image-turbo-health")
    host.check_output(f"for _ in 1 2 3 4 5 6; do (setsid sh -c '{command}' >/dev/null 2>&1 &) ; done")
    lab.wait_until(lambda: looked_again(host) > begin + 10)
    assert host.check_output("pgrep --count --full '^/usr/bin/python3 -I .*-health [l]oop'") == "1"


def test_cron_starts_a_check_that_died_and_is_started_itself(host):
    host.check_output("systemctl kill --kill-who=main --signal=KILL cron")
    lab.wait_until(lambda: host.service("cron").is_running)
    host.check_output("pkill -f '[z]-image-turbo-health loop'")
    died = time.time()
    lab.wait_until(lambda: looked_again(host) > died + 1, 75)
