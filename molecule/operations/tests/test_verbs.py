"""Drain, undrain, restart and smoke, with the real application."""

import threading

import httpx
import lab
import pytest
import service
from service import HOSTS, INSTANCES

PATIENCE_SECONDS = 60  # for one answer, where all share two cores with others
pytestmark = pytest.mark.usefixtures("the_application")
VERBS = ("upgrade", "rollback", "restart", "drain", "undrain", "smoke")


@pytest.fixture(autouse=True)
def all_in_service():
    """Leave no instance drained."""
    yield
    drained = " ".join(name for name, (_, by) in service.gateway_view().items() if by is not None)
    if drained:
        service.GATEWAY.check_output(f"{service.AGENT} undrain --until-in {drained}")


def drained():
    """Return the instances that are drained."""
    return {name for name, (_, by) in service.gateway_view().items() if by is not None}


def test_a_drained_host_gets_no_new_work_and_the_other_half_is_never_drained(change):
    with change.under_load():
        drain = service.play("drain", target="ops1")
        assert drain.rc == 0, drain.output
        answers = [
            httpx.post(
                f"{service.URL}/sdapi/v1/txt2img",
                json={"prompt": "x", "width": 256, "height": 256},
                timeout=PATIENCE_SECONDS,
            )
            for _ in range(6)
        ]
        assert {answer.headers["X-Served-By"] for answer in answers} <= {"ops2-a", "ops2-b"}
        assert set(service.play("drain", target="ops1").changed.values()) == {0}

        refused = service.play("drain", target="ops2-a")
        assert refused.rc != 0
        assert "Only 1 of 4 instances would be in service" in refused.output
        assert drained() == {"ops1-a", "ops1-b"}
        forced = service.play("drain", target="ops2-a", force=True)
        assert forced.rc == 0, forced.output
        assert drained() == {"ops1-a", "ops1-b", "ops2-a"}
        assert service.play("drain", target="ops2-b", force=True).rc != 0

        for target in ("ops1", "ops2-a"):
            undrain = service.play("undrain", target=target)
            assert undrain.rc == 0, undrain.output
        assert drained() == set()
        assert set(service.play("undrain", target="ops1").changed.values()) == {0}
    change.assert_nobody_noticed()


def test_a_drain_waits_until_the_work_is_done_and_tells_how_much_is_left():
    url = service.url("ops1-a")
    order = {"prompt": "long", "width": 1024, "height": 1024, "batch_size": 4, "steps": 8}
    ended = []
    job = threading.Thread(
        target=lambda: ended.append(httpx.post(f"{url}/sdapi/v1/txt2img", json=order, timeout=300))
    )
    job.start()
    lab.wait_until(
        lambda: "zimage_jobs_running 1.0" in httpx.get(f"{url}/metrics", timeout=PATIENCE_SECONDS).text
    )
    drain = service.play("drain", target="ops1-a")
    assert "zimage_jobs_running 0.0" in httpx.get(f"{url}/metrics", timeout=PATIENCE_SECONDS).text
    job.join()
    assert drain.rc == 0, drain.output
    assert "ops1-a: 1 jobs are being drawn, 0 wait" in drain.output
    assert [answer.status_code for answer in ended] == [200]


def test_a_restart_concerns_the_instances_that_are_named_and_what_was_drained_stays_drained(change):
    before = service.pids()
    assert service.play("drain", target="ops1-b").rc == 0
    with change.under_load(over=lambda: drained() == {"ops1-b"}):
        restart = service.play("restart", target="ops1")
    assert restart.rc == 0, restart.output
    change.assert_nobody_noticed()
    assert {name for name, process in service.pids().items() if process != before[name]} == {
        "ops1-a",
        "ops1-b",
    }
    assert drained() == {"ops1-b"}
    assert service.left_behind() == []


def test_a_picture_at_every_door_is_shown_and_one_that_draws_none_is_named():
    smoke = service.play("smoke")
    assert smoke.rc == 0, smoke.output
    rows = {line.split()[1] for line in smoke.output.splitlines() if " right " in line}
    assert rows == {*INSTANCES, "opsgw1"}, smoke.output

    HOSTS["ops2"].check_output("supervisorctl stop z-image-turbo-b")
    try:
        smoke = service.play("smoke")
        assert smoke.rc != 0
        assert "No picture, or a wrong one, at ops2-b" in smoke.output
    finally:
        HOSTS["ops2"].check_output("supervisorctl start z-image-turbo-b")
        lab.wait_until(lambda: service.condition("ops2-b") and service.all_in(), 90)


def test_a_service_that_is_not_well_is_not_changed():
    HOSTS["ops2"].check_output("supervisorctl stop z-image-turbo-b")
    before = service.pids()
    try:
        restart = service.play("restart")
        assert restart.rc != 0
        assert "Not every instance is well, and nothing was touched: ops2-b on ops2" in " ".join(
            restart.output.split()
        )
        assert service.pids() == before
    finally:
        HOSTS["ops2"].check_output("supervisorctl start z-image-turbo-b")
        lab.wait_until(lambda: service.condition("ops2-b") and service.all_in(), 90)


@pytest.mark.parametrize("verb", ["drain", "undrain", "restart"])
def test_a_name_that_there_is_not_is_refused_with_those_that_there_are(verb):
    refused = service.play(verb, target="gpu7-z")
    assert refused.rc != 0
    assert "ops1 (ops1-a, ops1-b); ops2 (ops2-a, ops2-b)" in " ".join(refused.output.split())


@pytest.mark.parametrize("verb", VERBS)
def test_check_mode_changes_nothing(verb, tmp_path):
    before = service.pids(), service.gateway_view(), service.releases()
    variables = {"z_image_turbo_source": service.release(tmp_path, "checked")} if verb == "upgrade" else {}
    play = service.dry_run(verb, target="ops1-a", **variables)
    assert play.rc == 0, play.output
    assert (service.pids(), service.gateway_view(), service.releases()) == before
