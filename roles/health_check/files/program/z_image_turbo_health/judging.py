"""Tells apart what an instance can be, and decides which one is restarted: pure, without clock or input.

What an instance does is doubted only after several bad looks in a row. What cannot be mended by a restart, a
program that the operator stopped or a GPU that is gone, is told and left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from z_image_turbo_health.conditions import WELL, Condition, Record, Sight, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from z_image_turbo_health.settings import Options

CONFIRMED = 2  # looks for what an instance or Supervisor says itself; silence needs `fall`
EXITS_MAX = 5  # starts in a row that end before the instance was ready
WAITING = "waiting"  # begins the reason of one that lets others load first
BACKOFF_SECONDS = 15.0  # after the first restart; doubled each time
BACKOFF_SECONDS_MAX = 300.0
FROM_STATUS = {
    "loading": Condition.LOADING,
    "paused": Condition.DRAINING,
    "draining": Condition.DRAINING,
    "ready": Condition.READY,
}
WAITS_FOR_SOMEBODY = {
    "STOPPED": "it was stopped through Supervisor",
    "NOT_THERE": "Supervisor has no such program",
    "BACKOFF": "it exits soon after its start; Supervisor tries again",
}


class Decision(NamedTuple):
    """What to do with one instance: "restart" or "stop", and for what reason."""

    name: str
    action: str
    cause: str


def judge(record: Record, sight: Sight, options: Options, now: float) -> Verdict:
    """Return what an instance is, and take note of the look in `record`."""
    _note_process(record, sight)
    verdict, doubted, needed = _look(record, sight, options)
    record.bad = record.bad + 1 if doubted else 0
    if doubted and record.bad < needed:
        before = Condition(record.condition)
        verdict = Verdict(before, f"{verdict.reason} ({record.bad} of {needed})")
    if verdict.condition in WELL:
        record.ready, record.exits, record.recovering_until = sight.program.pid, 0, 0.0
        record.given_up = ""
    elif _ends_again_and_again(record, sight, verdict):
        verdict = Verdict(
            Condition.DEAD,
            f"it ended {record.exits} times before it was ready: {sight.program.said}",
            "exits",
        )
    if verdict.condition != record.condition:
        record.since = now
    record.condition, record.reason = verdict.condition, verdict.reason
    if record.given_up and verdict.condition not in WELL:
        record.reason = f"{verdict.reason}; given up: {record.given_up}"
    return verdict._replace(reason=record.reason)


def _ends_again_and_again(record: Record, sight: Sight, verdict: Verdict) -> bool:
    """Tell whether a program is to be stopped, which Supervisor would start for ever."""
    mended_by_others = verdict.condition is Condition.GPU_LOST or sight.program.state == "STOPPED"
    return record.exits >= EXITS_MAX and not record.given_up and not mended_by_others


def _note_process(record: Record, sight: Sight) -> None:
    pid = sight.program.pid
    if sight.live is not None:
        record.answered = pid
    if not pid or pid == record.pid:
        return
    if record.pid:
        record.bad = record.drawn_badly = 0
        if not record.recovering_until:
            record.totals["exited"] = record.totals.get("exited", 0) + 1
        if record.given_up:  # somebody has started it again
            record.given_up, record.exits = "", 0
        elif record.ready != record.pid:
            record.exits += 1
    record.pid, record.waited = pid, 0.0


def _look(record: Record, sight: Sight, options: Options) -> tuple[Verdict, bool, int]:
    """Return a verdict, whether it is one to doubt, and how many looks in a row confirm it."""
    state = sight.program.state
    if sight.gpu_trouble and not (sight.live and sight.status == "ready"):
        return Verdict(Condition.GPU_LOST, sight.gpu_trouble), True, CONFIRMED
    if state == "STOPPING":
        return Verdict(Condition.DRAINING, "it is being stopped"), False, 0
    if state in WAITS_FOR_SOMEBODY:
        return Verdict(Condition.DEAD, WAITS_FOR_SOMEBODY[state]), False, 0
    if state in {"EXITED", "FATAL", "UNKNOWN"}:
        reason = f"Supervisor has given it up ({state}): {sight.program.said}"
        return Verdict(Condition.DEAD, reason, "dead"), True, CONFIRMED
    if sight.live is None:
        return _silent(record, sight, options)
    return _answering(record, sight, options)


def _answering(record: Record, sight: Sight, options: Options) -> tuple[Verdict, bool, int]:
    if not sight.live:
        return (
            Verdict(Condition.STUCK, f"it says that it has failed: {sight.said}", "failed"),
            True,
            CONFIRMED,
        )
    if record.drawn_badly >= CONFIRMED:
        return Verdict(Condition.STUCK, "it answers, and cannot draw", "no_picture"), False, 0
    condition = FROM_STATUS.get(sight.status, Condition.DRAINING)
    if condition is Condition.LOADING and sight.said.startswith(WAITING):
        record.waited = sight.program.age
    if condition is Condition.LOADING and sight.program.age - record.waited > options.loading_seconds:
        return _loads_for_ever(options)
    if condition is Condition.READY and sight.working:
        return Verdict(Condition.BUSY, "it draws"), False, 0
    return Verdict(condition, sight.said), False, 0


def _silent(record: Record, sight: Sight, options: Options) -> tuple[Verdict, bool, int]:
    program = sight.program
    if program.pid and record.answered != program.pid:  # it has yet to come up
        if program.age > options.loading_seconds:
            return _loads_for_ever(options)
        return Verdict(Condition.LOADING, "it starts"), False, 0
    if sight.log_grew:
        return Verdict(Condition.BUSY, f"{sight.said}, but it goes on working"), False, 0
    if program.state == "RUNNING":
        return Verdict(Condition.STUCK, sight.said, "silent"), True, options.fall
    return Verdict(Condition.DEAD, f"{sight.said}, and neither does Supervisor"), True, options.fall


def _loads_for_ever(options: Options) -> tuple[Verdict, bool, int]:
    reason = f"it has not come up within {options.loading_seconds:.0f} s"
    return Verdict(Condition.STUCK, reason, "slow_start"), True, CONFIRMED


def decide(
    records: Mapping[str, Record],
    verdicts: Mapping[str, Verdict],
    held: Collection[str],
    options: Options,
    now: float,
) -> Decision | None:
    """Return the one thing to do now, if any; take note where the budget of an instance is spent.

    One instance of the host at a time: while one that was restarted has not come back, no other is.
    """
    for record in records.values():
        record.restarts = [when for when in record.restarts if now - when < options.window_seconds]
    recovering = any(one.recovering_until > now and not one.given_up for one in records.values())
    for name, verdict in sorted(verdicts.items(), key=lambda item: records[item[0]].since):
        record = records[name]
        if not verdict.cause or name in held or record.given_up:
            continue
        if verdict.cause == "exits":
            record.given_up = f"{record.exits} starts in a row failed"
            return Decision(name, "stop", verdict.cause)
        if len(record.restarts) >= options.budget:
            record.given_up = (
                f"{options.budget} restarts in {options.window_seconds / 60:.0f} minutes did not help"
            )
            continue
        own_turn = record.recovering_until > now  # it failed again before it was ready
        if (recovering and not own_turn) or now < next_restart(record):
            continue
        return Decision(name, "restart", verdict.cause)
    return None


def next_restart(record: Record) -> float:
    """Return the time before which an instance is not restarted again."""
    if not record.restarts:
        return 0.0
    pause = BACKOFF_SECONDS * float(2 ** (len(record.restarts) - 1))
    return record.restarts[-1] + min(pause, BACKOFF_SECONDS_MAX)


def note_restart(record: Record, cause: str, options: Options, now: float) -> None:
    """Take note that an instance was restarted."""
    record.restarts.append(now)
    record.totals[cause] = record.totals.get(cause, 0) + 1
    record.recovering_until = now + options.loading_seconds
    record.bad = record.drawn_badly = 0
