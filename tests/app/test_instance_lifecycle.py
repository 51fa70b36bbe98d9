import itertools

import pytest

from z_image_turbo.errors import InstanceFailed, ModelLoading, Paused, Refused, ShuttingDown
from z_image_turbo.lifecycle import Lifecycle, State

PATHS: dict[State, list[State]] = {
    State.LOADING: [],
    State.READY: [State.READY],
    State.PAUSED: [State.READY, State.PAUSED],
    State.DRAINING: [State.DRAINING],
    State.FAILED: [State.FAILED],
}
ALLOWED = {
    (State.LOADING, State.READY),
    (State.LOADING, State.DRAINING),
    (State.LOADING, State.FAILED),
    (State.READY, State.DRAINING),
    (State.READY, State.FAILED),
    (State.READY, State.PAUSED),
    (State.PAUSED, State.READY),
    (State.PAUSED, State.DRAINING),
    (State.PAUSED, State.FAILED),
    (State.DRAINING, State.FAILED),
}


def in_state(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for step in PATHS[state]:
        assert lifecycle.move(step, "to get there")
    return lifecycle


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_only_the_moves_of_the_table_happen(before: State, after: State) -> None:
    lifecycle = in_state(before)
    allowed = (before, after) in ALLOWED
    assert lifecycle.move(after, "why") is allowed
    assert lifecycle.state is (after if allowed else before)
    assert (lifecycle.reason == "why") is allowed


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (State.LOADING, ModelLoading),
        (State.PAUSED, Paused),
        (State.DRAINING, ShuttingDown),
        (State.FAILED, InstanceFailed),
    ],
)
def test_a_job_is_refused_with_the_reason_and_a_time_to_retry(state: State, refusal: type[Refused]) -> None:
    with pytest.raises(refusal) as caught:
        in_state(state).require_ready()
    assert caught.value.status == 503
    assert caught.value.retry_after_seconds


def test_a_ready_instance_refuses_nobody() -> None:
    in_state(State.READY).require_ready()
