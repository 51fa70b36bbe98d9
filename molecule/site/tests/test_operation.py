"""What an operator does with the service, and what befalls it, while users go on."""

import json
import shutil
import threading
from collections import Counter

import httpx
import lab
import pytest
import testinfra

GPU1, GPU2 = (testinfra.get_host(spec) for spec in lab.hosts("gpu"))


def pids(host):
    """Return the process id of each running program."""
    rows = [line.split() for line in host.run("supervisorctl status").stdout.splitlines()]
    return {row[0]: row[3].rstrip(",") for row in rows if row[1] == "RUNNING"}


def ready(host, port):
    """Tell whether the instance on a port takes jobs."""
    address = lab.address(host.check_output("hostname"))
    return host.run(f"curl --silent --fail --max-time 5 http://{address}:{port}/readyz").rc == 0


@pytest.fixture
def users(url):
    """Two users who ask for one picture after the other; returns how their requests ended.

    Each on a connection of its own: a reload closes the idle ones, also under somebody who sends just then.
    """
    ended, stop = Counter(), threading.Event()

    def ask(seed):
        body = {"prompt": "a user", "seed": seed, "width": 256, "height": 256}
        while not stop.is_set() and ended.total() < 2000:
            try:
                how = httpx.post(f"{url}/sdapi/v1/txt2img", json=body, timeout=120).status_code
            except httpx.HTTPError as error:
                how = repr(error)
            ended[how] += 1

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    yield ended
    stop.set()
    for thread in threads:
        thread.join()


def test_users_do_not_notice_that_an_instance_is_killed_and_it_is_back_by_itself(users):
    lab.wait_until(lambda: users[200] > 10)
    before = pids(GPU2)["z-image-turbo-a"]
    GPU2.check_output(f"kill -9 {before}")
    lab.wait_until(lambda: pids(GPU2).get("z-image-turbo-a", before) != before and ready(GPU2, 7861), 120)
    assert set(users) == {200}


def test_scaling_up_starts_one_instance_and_touches_no_other_and_scaling_down_removes_it(url):
    before = {"gpu1": pids(GPU1), "gpu2": pids(GPU2)}
    up = lab.play("site.yml", "gpu2:gateways", env={"GPU2_INSTANCES": "2"})
    assert up.rc == 0, up.output
    assert ready(GPU2, 7862)
    assert pids(GPU1) == before["gpu1"]
    assert before["gpu2"].items() < pids(GPU2).items()
    with httpx.Client(base_url=url, timeout=120) as client:
        lab.wait_until(lambda: client.get("/readyz").headers["X-Served-By"] == "gpu2-b")

    down = lab.play("site.yml", "gpu2:gateways")
    assert down.rc == 0, down.output
    assert {"gpu1": pids(GPU1), "gpu2": pids(GPU2)} == before
    assert not ready(GPU2, 7862)


def test_a_new_release_reaches_every_instance_and_users_do_not_notice(users, tmp_path):
    source = shutil.copytree(lab.ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "note.txt").write_text("a new release")
    before = {**pids(GPU1), "gpu2": pids(GPU2)["z-image-turbo-a"]}
    play = lab.play("site.yml", "gpu", tags="z_image_turbo", z_image_turbo_source=str(source))
    assert play.rc == 0, play.output
    after = {**pids(GPU1), "gpu2": pids(GPU2)["z-image-turbo-a"]}
    assert [name for name in before if before[name] == after[name]] == []
    assert set(users) == {200}


def test_the_status_playbook_shows_every_instance():
    table = lab.play("playbooks/status.yml", "gpu").output
    assert table.count("ready") == 4, table


def test_the_access_log_names_instance_and_request(url):
    httpx.get(f"{url}/readyz", headers={"X-Request-Id": "find-me"})
    gateway = testinfra.get_host(lab.hosts("gateways")[0])
    line = lab.wait_until(lambda: gateway.run("grep find-me /var/log/nginx/access.log").stdout)
    assert json.loads(line.splitlines()[-1])["instance"].startswith("gpu")
