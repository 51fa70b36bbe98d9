"""What an instance is, and when it is restarted: the promises of the health check, without a host."""

from __future__ import annotations

import itertools

import pytest

from tests.health.hosts import OPTIONS, Host, failed, loading, ready, running, silent
from z_image_turbo_health.conditions import NOT_THERE, Condition, Program, Sight
from z_image_turbo_health.judging import EXITS_MAX, Decision

HUNG = Decision("a", "restart", "silent")


@pytest.fixture
def host() -> Host:
    """Return a host whose two instances are ready."""
    made = Host("a", "b")
    made.see(a=ready(100), b=ready(200))
    return made


@pytest.mark.parametrize(
    ("sight", "condition"),
    [
        (ready(), Condition.READY),
        (ready(working=True), Condition.BUSY),
        (loading(), Condition.LOADING),
        (Sight(running(), live=True, status="paused"), Condition.DRAINING),
        (Sight(running(), live=True, status="draining"), Condition.DRAINING),
        (Sight(Program("STOPPING", 100, 50)), Condition.DRAINING),
        (Sight(Program("STOPPED")), Condition.DEAD),
        (Sight(Program("BACKOFF")), Condition.DEAD),
        (Sight(NOT_THERE), Condition.DEAD),
    ],
)
def test_what_an_instance_says_is_believed_at_once_and_nothing_is_done(
    sight: Sight, condition: Condition
) -> None:
    host = Host("a")
    assert host.see(20, a=sight) == []
    assert host.state("a") is condition


def test_one_slow_answer_is_no_reason(host: Host) -> None:
    for _ in range(20):
        assert host.see(OPTIONS.fall - 1, a=silent(), b=ready(200)) == []
        assert host.state("a") is Condition.READY
        host.see(a=ready(), b=ready(200))


def test_an_instance_that_hangs_is_restarted_once_within_forty_seconds(host: Host) -> None:
    began = host.now
    assert host.see(OPTIONS.fall, a=silent(), b=ready(200)) == [HUNG]
    assert host.now - began <= 40
    assert host.state("a") is Condition.STUCK
    assert host.see(10, a=loading(101), b=ready(200)) == []
    assert host.see(10, a=ready(101), b=ready(200)) == []


def test_one_that_is_silent_since_it_works_is_never_restarted(host: Host) -> None:
    for _ in range(60):
        assert host.see(OPTIONS.fall - 1, a=silent(), b=ready(200)) == []
        host.see(a=silent(log_grew=True), b=ready(200))
        assert host.state("a") is Condition.BUSY


def test_one_that_says_that_it_has_failed_is_restarted_sooner(host: Host) -> None:
    assert host.see(2, a=failed(), b=ready(200)) == [Decision("a", "restart", "failed")]


def test_loading_may_take_its_time_and_no_longer() -> None:
    host = Host("a")
    assert host.see(50, a=Sight(running(age=10), said="nothing listens")) == []
    assert host.state("a") is Condition.LOADING
    assert host.see(50, a=loading(age=290)) == []
    assert host.see(2, a=loading(age=301)) == [Decision("a", "restart", "slow_start")]
    assert host.state("a") is Condition.STUCK


def test_waiting_for_ones_turn_to_load_is_not_loading() -> None:
    host = Host("a")
    said = "waiting for other instances to load their models"
    for age in range(0, 2000, 5):
        assert host.see(a=Sight(running(age=age), live=True, status="loading", said=said)) == []
    assert host.see(5, a=loading(age=2290)) == []
    assert host.see(2, a=loading(age=2300)) == [Decision("a", "restart", "slow_start")]


def test_what_supervisor_has_given_up_is_started_again(host: Host) -> None:
    assert host.see(2, a=Sight(Program("FATAL", said="exited too quickly")), b=ready(200)) == [
        Decision("a", "restart", "dead")
    ]


def test_after_three_restarts_that_did_not_help_it_stops_and_says_so(host: Host) -> None:
    for pid in range(100, 200):
        host.see(20, a=silent(pid) if pid < 104 else silent(104), b=ready(200))
        if host.records["a"].given_up:
            break
        host.see(a=ready(pid + 1), b=ready(200))
    assert len(host.done) == OPTIONS.budget
    assert "3 restarts in 30 minutes did not help" in host.records["a"].reason
    assert host.see(1000, a=silent(104), b=ready(200)) == []
    host.see(a=ready(104), b=ready(200))
    assert host.records["a"].given_up == ""


def test_the_pause_before_the_next_restart_grows(host: Host) -> None:
    when = [host.now for _ in range(40) if host.see(a=failed(), b=ready(200))]
    assert [later - sooner for sooner, later in itertools.pairwise(when)] == [15, 30]


def test_two_instances_of_a_host_are_never_restarted_at_once(host: Host) -> None:
    assert len(host.see(OPTIONS.fall, a=silent(100), b=silent(200))) == 1
    first = host.done[0].name
    other = "b" if first == "a" else "a"
    pid = {"a": 100, "b": 200}
    assert host.see(20, **{first: loading(101), other: silent(pid[other])}) == []
    again = host.see(2, **{first: ready(101), other: silent(pid[other])})
    assert [one.name for one in again] == [other]


def test_one_that_cannot_be_helped_does_not_keep_another_from_being_helped(host: Host) -> None:
    for _ in range(40):
        host.see(a=failed(), b=ready(200))
    assert host.records["a"].given_up
    assert host.see(OPTIONS.fall, a=failed(), b=silent(200)) == [Decision("b", "restart", "silent")]


def test_what_an_operator_works_on_is_left_alone(host: Host) -> None:
    host.held = {"a"}
    assert host.see(30, a=silent(), b=ready(200)) == []
    host.held = set()
    assert host.see(a=silent(), b=ready(200)) == [HUNG]


def test_a_lost_gpu_is_told_and_nothing_is_restarted(host: Host) -> None:
    gone = "GPU 0: Unable to determine the device handle: GPU is lost"
    sight = Sight(running(), live=False, status="failed", said="no device", gpu_trouble=gone)
    assert host.see(200, a=sight, b=ready(200)) == []
    assert host.state("a") is Condition.GPU_LOST
    assert host.records["a"].reason == gone
    assert host.state("b") is Condition.READY


def test_a_hanging_nvidia_smi_is_no_fault_of_an_instance_that_draws(host: Host) -> None:
    host.see(20, a=ready(gpu_trouble="nvidia-smi does not answer within 8 s"), b=ready(200))
    assert host.state("a") is Condition.READY


def test_a_program_that_ends_again_and_again_before_it_is_ready_is_stopped() -> None:
    host = Host("a")
    for pid in range(100, 100 + EXITS_MAX):
        assert host.see(3, a=Sight(running(pid, 5), said="nothing listens")) == []
    assert host.see(3, a=Sight(running(100 + EXITS_MAX, 5), said="nothing listens")) == [
        Decision("a", "stop", "exits")
    ]
    host.see(5, a=Sight(Program("STOPPED")))
    assert host.state("a") is Condition.DEAD
    assert "5 starts in a row failed" in host.records["a"].reason


def test_a_crash_after_it_was_ready_is_counted_and_left_to_supervisor(host: Host) -> None:
    for pid in range(101, 120):
        assert host.see(2, a=loading(pid), b=ready(200)) == []
        assert host.see(2, a=ready(pid), b=ready(200)) == []
    assert host.records["a"].totals == {"exited": 19}


def test_without_supervisor_nothing_is_restarted(host: Host) -> None:
    gone = Sight(Program(""), said="it does not answer (nothing listens)")
    assert host.see(50, a=gone, b=gone) == []
    assert host.state("a") is Condition.DEAD


def test_one_that_answers_and_cannot_draw_is_restarted(host: Host) -> None:
    host.records["a"].drawn_badly = 2
    assert host.see(a=ready(), b=ready(200)) == [Decision("a", "restart", "no_picture")]
    assert host.see(5, a=ready(101), b=ready(200)) == []
