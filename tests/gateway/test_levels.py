"""Who is taken out of service and who is not, with a clock that the tests turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from z_image_turbo_gateway.levels import Level, Levels, Probe

FALL, RISE, DRAIN_IDLE = 3, 2, 60.0
NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def levels() -> Levels:
    return fleet_of(NAMES)


def fleet_of(names: list[str]) -> Levels:
    levels = Levels(FALL, RISE, DRAIN_IDLE)
    levels.keep(names)
    return levels


def probe(levels: Levels, times: int = 1, **probes: Probe) -> None:
    for _ in range(times):
        for name, result in probes.items():
            levels.probed(name, result)


def decided(levels: Levels, now: float = 0.0) -> dict[str, str]:
    """Return who is not in service, and how far."""
    return {name: level.name for name, (level, _) in levels.decide(now).items() if level > Level.IN}


def answer(levels: Levels, name: str, good: int, bad: int, now: float = 0.0) -> None:
    for failed in [False] * good + [True] * bad:
        levels.answered(name, failed, now)


def test_all_are_in_service_at_first(levels: Levels) -> None:
    assert decided(levels) == {}


def test_one_that_does_not_answer_is_out_after_three_probes_and_no_earlier(levels: Levels) -> None:
    probe(levels, FALL - 1, a=Probe.LOST)
    assert decided(levels) == {}
    probe(levels, a=Probe.LOST)
    assert decided(levels) == {"a": "OUT"}


def test_one_that_is_well_again_is_back_after_two_probes(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.LOST)
    assert decided(levels) == {"a": "OUT"}
    probe(levels, RISE - 1, a=Probe.READY)
    assert decided(levels) == {"a": "OUT"}
    probe(levels, a=Probe.READY)
    assert decided(levels) == {}


def test_one_that_flickers_stays_as_it_was(levels: Levels) -> None:
    for _ in range(10):
        probe(levels, a=Probe.LOST)
        probe(levels, a=Probe.LOST)
        probe(levels, a=Probe.READY)
    assert decided(levels) == {}


def test_one_that_says_it_is_not_ready_gets_nothing_new_but_keeps_its_sessions(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.REFUSING)
    assert decided(levels) == {"a": "NO_NEW"}


def test_one_that_comes_back_and_loads_is_reachable_before_it_is_ready(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.LOST)
    probe(levels, a=Probe.REFUSING)
    assert decided(levels) == {"a": "NO_NEW"}


def test_the_last_half_of_the_fleet_is_never_taken_out(levels: Levels) -> None:
    for name in NAMES:
        probe(levels, FALL, **{name: Probe.LOST}, **{other: Probe.READY for other in NAMES if other > name})
        decided(levels)
    assert decided(levels) == {"a": "OUT", "b": "OUT"}


def test_nobody_is_taken_out_while_more_than_half_do_not_answer(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.LOST, b=Probe.LOST, c=Probe.LOST)
    assert decided(levels) == {}


def test_who_is_out_already_stays_out_while_the_gateway_has_no_connection(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.LOST)
    assert decided(levels) == {"a": "OUT"}
    probe(levels, FALL, **dict.fromkeys(NAMES, Probe.LOST))
    assert decided(levels) == {"a": "OUT"}


def test_a_single_instance_is_never_taken_out() -> None:
    levels = fleet_of(["a"])
    probe(levels, 2 * FALL, a=Probe.LOST)
    assert decided(levels) == {}


def test_probes_before_the_host_stood_still_do_not_count(levels: Levels) -> None:
    probe(levels, FALL - 1, a=Probe.LOST)
    levels.forget_probes()
    probe(levels, FALL - 1, a=Probe.LOST)
    assert decided(levels) == {}


def test_one_that_answers_with_errors_is_out_and_its_sessions_move(levels: Levels) -> None:
    answer(levels, "a", 0, 5)
    answer(levels, "b", 20, 0)
    assert decided(levels) == {"a": "MOVED"}


def test_a_few_errors_are_an_accident(levels: Levels) -> None:
    answer(levels, "a", 0, 4)
    answer(levels, "b", 6, 5)  # less than half
    assert decided(levels) == {}


def test_errors_of_long_ago_do_not_count(levels: Levels) -> None:
    answer(levels, "a", 0, 4, now=0)
    answer(levels, "a", 0, 4, now=20)
    assert decided(levels, now=20) == {}


def test_requests_that_fail_everywhere_are_to_blame_themselves(levels: Levels) -> None:
    for name in NAMES:
        answer(levels, name, 2, 8)
    assert decided(levels) == {}


def test_the_first_penalty_is_half_a_minute_and_the_next_is_twice_as_long(levels: Levels) -> None:
    answer(levels, "a", 0, 5, now=0)
    assert decided(levels, 29) == {}  # too late to be looked at
    answer(levels, "a", 0, 5, now=30)
    assert decided(levels, 30) == {"a": "MOVED"}
    assert decided(levels, 59) == {"a": "MOVED"}
    assert decided(levels, 60) == {}
    answer(levels, "a", 0, 5, now=61)
    assert decided(levels, 61) == {"a": "MOVED"}
    assert decided(levels, 120) == {"a": "MOVED"}
    assert decided(levels, 121) == {}


def test_a_process_that_died_takes_its_errors_with_it(levels: Levels) -> None:
    answer(levels, "a", 0, 5)
    assert decided(levels) == {"a": "MOVED"}
    probe(levels, a=Probe.LOST)
    assert decided(levels, 1) == {}


def test_a_drained_instance_keeps_its_sessions_until_they_are_idle(levels: Levels) -> None:
    levels.drain({"a"}, now=0)
    assert decided(levels, 59) == {"a": "NO_NEW"}
    levels.visited("a", now=50)
    assert decided(levels, 60) == {"a": "NO_NEW"}
    assert decided(levels, 110) == {"a": "MOVED"}
    levels.drain(set(), now=111)
    assert decided(levels, 111) == {}


def test_the_operators_word_counts_and_is_counted(levels: Levels) -> None:
    levels.drain({"a", "b"}, now=0)
    probe(levels, FALL, c=Probe.LOST)
    assert decided(levels) == {"a": "NO_NEW", "b": "NO_NEW"}, "with c out, less than half would be left"


def test_a_new_process_begins_with_what_the_old_one_decided(levels: Levels) -> None:
    levels.restore({"a": (Level.OUT, "it does not answer"), "gone": (Level.OUT, "")})
    assert decided(levels) == {"a": "OUT"}
    probe(levels, RISE, a=Probe.READY)
    assert decided(levels) == {}


def test_instances_that_are_gone_are_forgotten(levels: Levels) -> None:
    probe(levels, FALL, a=Probe.LOST)
    decided(levels)
    levels.keep(["b", "new"])
    assert set(levels.decide(0)) == {"b", "new"}
    assert levels.removed == {}


EVENTS = st.one_of(
    st.tuples(st.just("probe"), st.integers(0, 6), st.sampled_from(Probe)),
    st.tuples(st.just("answer"), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("drain"), st.frozensets(st.integers(0, 6), max_size=3), st.just(None)),
    st.tuples(st.just("wait"), st.integers(0, 100), st.just(None)),
)


@given(st.integers(1, 7), st.lists(EVENTS, max_size=80))
def test_whatever_happens_half_of_those_that_are_not_drained_stay_in_service(
    count: int, events: list[tuple[str, object, object]]
) -> None:
    names = [str(number) for number in range(count)]
    levels, now, drained = fleet_of(names), 0.0, set()
    for kind, subject, value in events:
        match kind, subject, value:
            case "probe", int(number), Probe() as result:
                levels.probed(str(number), result)
            case "answer", int(number), bool(failed):
                levels.answered(str(number), failed, now)
            case "drain", frozenset() as numbers, None:
                drained = {str(number) for number in numbers} & set(names)
                levels.drain(drained, now)
            case "wait", int(seconds), None:
                now += seconds
        decisions = levels.decide(now)
        assert decisions.keys() == set(names)
        assert all(decisions[name][0] > Level.IN for name in drained)
        others = [name for name in names if name not in drained and decisions[name][0] > Level.IN]
        assert len(others) * 2 <= count
