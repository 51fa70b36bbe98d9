"""The states of an instance and the moves between them."""

from __future__ import annotations

import threading
from enum import Enum

from z_image_turbo.errors import InstanceFailed, ModelLoading, Paused, ShuttingDown

LOADING_REASON = "the model is being loaded"
WAITING_REASON = "waiting for other instances to load their models"
LOADING_RETRY_SECONDS = 10
LEAVING_RETRY_SECONDS = 5


class State(Enum):
    """Where an instance is in its life. That it is drawing is not a state: the queue knows."""

    LOADING = "loading"
    READY = "ready"
    PAUSED = "paused"
    DRAINING = "draining"
    FAILED = "failed"


MOVES: dict[State, frozenset[State]] = {
    State.LOADING: frozenset({State.READY, State.DRAINING, State.FAILED}),
    State.READY: frozenset({State.PAUSED, State.DRAINING, State.FAILED}),
    State.PAUSED: frozenset({State.READY, State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.FAILED}),
    State.FAILED: frozenset(),
}


class Lifecycle:
    """The state of one instance, with the reason for it. Safe to use from any thread."""

    def __init__(self) -> None:
        """Start in LOADING."""
        self._lock = threading.Lock()
        self._state = State.LOADING
        self._reason = LOADING_REASON

    @property
    def state(self) -> State:
        """The state now."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the instance is in this state, for people."""
        return self._reason

    def move(self, state: State, reason: str) -> bool:
        """Move to `state` if the table allows it, and tell whether it did.

        A refused move is no fault: a model may finish loading just after the order to leave.
        """
        with self._lock:
            allowed = state in MOVES[self._state]
            if allowed:
                self._state, self._reason = state, reason
            return allowed

    def wait_for_turn(self) -> None:
        """Say that the model is not being loaded yet; `load` says that it is."""
        with self._lock:
            if self._state is State.LOADING:
                self._reason = WAITING_REASON

    def load(self) -> None:
        """Say that the model is being loaded."""
        with self._lock:
            if self._state is State.LOADING:
                self._reason = LOADING_REASON

    def require_ready(self) -> None:
        """Raise the `Refused` that says why no job is taken, unless the instance is READY."""
        match self._state:
            case State.LOADING:
                raise ModelLoading(
                    "The model is being loaded; try again soon.", retry_after_seconds=LOADING_RETRY_SECONDS
                )
            case State.PAUSED:
                raise Paused(
                    "This instance takes no jobs for now; try again.",
                    retry_after_seconds=LEAVING_RETRY_SECONDS,
                )
            case State.DRAINING:
                raise ShuttingDown(
                    "This instance is shutting down; try again.", retry_after_seconds=LEAVING_RETRY_SECONDS
                )
            case State.FAILED:
                raise InstanceFailed(
                    "This instance has failed and will be restarted; try again.",
                    retry_after_seconds=LOADING_RETRY_SECONDS,
                )
            case State.READY:
                return
