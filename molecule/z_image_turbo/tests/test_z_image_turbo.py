"""The promises of the role z_image_turbo: what runs, as whom, and what a change touches."""

import contextlib
import json
import shutil
import threading

import httpx
import lab
import pytest

testinfra_hosts = lab.hosts("z_image_turbo")
PORTS = {"a": 7861, "b": 7862, "c": 7863}

# What a change of release or instances goes through; the packages are there already.
TAGS = "z_image_turbo_release,z_image_turbo_instances"


def answer(host, port):
    """Return what an instance says, None when nothing answers."""
    done = host.run(f"curl --silent --fail --max-time 5 http://127.0.0.1:{port}/readyz")
    return json.loads(done.stdout) if done.rc == 0 else None


def pids(host):
    """Return the process id of each running program."""
    rows = [line.split() for line in host.run("supervisorctl status").stdout.splitlines()]
    return {row[0]: row[3].rstrip(",") for row in rows if row[1] == "RUNNING"}


def converge(**variables):
    return lab.play("molecule/z_image_turbo/converge.yml", "app1", tags=TAGS, **variables)


@pytest.fixture(scope="module", autouse=True)
def put_back():
    """Leave the host as the scenario found it."""
    yield
    assert converge().rc == 0


@pytest.mark.parametrize(("name", "port"), PORTS.items())
def test_every_planned_instance_answers_on_its_port_with_its_name(host, name, port):
    assert answer(host, port)["instance"] == f"app1-{name}"
    assert f"z-image-turbo-{name}" in pids(host)


def test_instances_do_not_run_as_root_and_cannot_change_their_code(host):
    assert answer(host, 7861)["uid"] == host.user("z-image-turbo").uid
    assert host.run("su z-image-turbo -s /bin/sh -c 'touch /opt/z-image-turbo/current/app.py'").rc != 0


def test_a_rotated_log_goes_on_in_a_new_file(host):
    host.check_output("logrotate --force /etc/logrotate.d/z-image-turbo")
    log = host.file("/var/log/z-image-turbo/a.log")
    lab.wait_until(lambda: answer(host, 7861) and log.exists and "GET /readyz" in log.content_string)


def test_a_killed_instance_is_back_by_itself(host):
    before = pids(host)["z-image-turbo-b"]
    host.check_output(f"kill -9 {before}")
    lab.wait_until(lambda: answer(host, 7862) and pids(host).get("z-image-turbo-b", before) != before)


def test_instances_come_back_when_supervisord_is_killed_and_none_is_left_without_it(host):
    host.check_output("systemctl kill --kill-who=main --signal=KILL supervisor")
    # where the kernel does not tell systemd that the last process is gone, it waits for its time limit
    lab.wait_until(
        lambda: len(pids(host)) == len(PORTS) and all(answer(host, port) for port in PORTS.values()), 90
    )
    assert host.check_output("pgrep --count --full '[a]pp.py'") == str(len(PORTS))


def test_an_interrupted_change_is_completed_by_the_next_run(host):
    before = pids(host)
    host.check_output("sed -i s/startretries.*/startretries=6/ /etc/supervisor/conf.d/z-image-turbo.conf")
    host.check_output("supervisorctl reread")
    assert converge().changed["app1"] > 0
    assert converge().changed["app1"] == 0
    assert sorted(pids(host)) == sorted(before)


def test_one_more_instance_starts_and_no_other_is_touched_and_it_goes_again(host):
    before = pids(host)
    assert converge(instances=4).rc == 0
    assert answer(host, 7864)["instance"] == "app1-d"
    assert {name: pid for name, pid in pids(host).items() if name in before} == before
    assert converge(instances=3).rc == 0
    assert pids(host) == before
    assert answer(host, 7864) is None


def test_changing_one_instance_restarts_that_one(host):
    before = pids(host)
    assert converge(instances=[{}, {"port": 7900}, {}]).rc == 0
    after = pids(host)
    assert [name for name in before if before[name] != after[name]] == ["z-image-turbo-b"]
    assert answer(host, 7900)["instance"] == "app1-b"


def test_an_instance_has_settings_of_its_own_and_its_gpu_by_uuid_and_a_plan_that_does_not_fit_is_refused(
    host,
):
    before = pids(host)
    fact = {"health": "ok", "devices": [{"uuid": "GPU-one", "model": "a card", "memory": 24564}]}
    host.check_output("mkdir -p /etc/ansible/facts.d")
    host.check_output("echo %s >/etc/ansible/facts.d/gpu.fact", json.dumps(fact))
    try:
        refused = converge(gpus=1, instances=3)
        assert refused.rc != 0
        assert "GPU 0 has 25.8 GB and its instances need 23.6 (a, bf16) + 23.6 (b, bf16)" in " ".join(
            refused.output.split()
        )
        assert pids(host) == before
        small = [{"settings": {"start_seconds": 0}}, {}, {}]
        assert converge(gpus=1, instances=small, preset_memory={"bf16": 8}).rc == 0
    finally:
        host.check_output("rm /etc/ansible/facts.d/gpu.fact")
    programs = host.file("/etc/supervisor/conf.d/z-image-turbo.conf").content_string.split("[program:")
    assert [program.count('CUDA_VISIBLE_DEVICES="GPU-one"') for program in programs[1:]] == [1, 1, 1]
    assert [program.count('ZIMAGE_START_SECONDS="0"') for program in programs[1:]] == [1, 0, 0]


def test_a_new_release_restarts_one_instance_at_a_time_and_waits_for_each(host, tmp_path):
    source = shutil.copytree(lab.ROOT / "molecule/z_image_turbo/stub", tmp_path / "app")
    (source / "new.txt").write_text("a new release")
    old = answer(host, 7861)["release"]
    with watching(lab.address("app1")) as seen:
        play = converge(z_image_turbo_source=str(source))
    assert play.rc == 0, play.output
    assert old not in {answer(host, port)["release"] for port in PORTS.values()}
    assert {("b", "c"), ("a", "c"), ("a", "b")} <= seen
    assert [ready for ready in seen if len(ready) < len(PORTS) - 1] == []


@contextlib.contextmanager
def watching(address):
    """Collect which instances were ready together, as long as the context lasts."""
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(
                tuple(name for name, port in PORTS.items() if is_ready(f"http://{address}:{port}/readyz"))
            )

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def is_ready(url):
    """Tell whether a URL answers 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_broken_configuration_leaves_the_old_one_serving(host):
    before = {name: answer(host, port)["release"] for name, port in PORTS.items()}
    untouched = {name: pid for name, pid in pids(host).items() if name != "z-image-turbo-a"}
    play = converge(z_image_turbo_settings={"start_seconds": 1, "broken": "yes"})
    assert play.rc != 0
    assert "this configuration does not work" in play.output
    lab.wait_until(lambda: answer(host, 7861))
    assert {name: answer(host, port)["release"] for name, port in PORTS.items()} == before
    assert untouched.items() <= pids(host).items()
