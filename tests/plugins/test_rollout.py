"""Whom a name means, and where a way back leads."""

from __future__ import annotations

from typing import Any

from plugins.filter.rollout import failure_text, target_error, targets, ways_back
from plugins.modules.version_history import abandon, begin, serve

PLANNED = [
    {"id": "gpu1-a", "host": "gpu1"},
    {"id": "gpu1-b", "host": "gpu1"},
    {"id": "gpu2-a", "host": "gpu2"},
]
EMPTY: dict[str, Any] = {"current": {}, "begun": {}, "versions": []}


def version(release: int, environment: str = "e1", model: str = "m1") -> dict[str, str]:
    return {"release": f"r{release}", "environment": environment, "model": model}


def served(*releases: int, start: int = 0) -> dict[str, Any]:
    history = EMPTY
    for number, release in enumerate(releases):
        history = serve(history, version(release), start + number, way_back=False)
    return history


def leads_to(histories: dict[str, Any]) -> dict[str, str]:
    return {host: way["to"].get("release", way["error"]) for host, way in ways_back(histories).items()}


def go_back(histories: dict[str, Any], *hosts: str) -> dict[str, Any]:
    ways = ways_back(histories)
    return {
        host: serve(history, ways[host]["to"], 99, way_back=True) if host in hosts else history
        for host, history in histories.items()
    }


def test_a_name_means_a_host_or_an_instance() -> None:
    assert [one["id"] for one in targets(PLANNED, "gpu1")] == ["gpu1-a", "gpu1-b"]
    assert [one["id"] for one in targets(PLANNED, "gpu2-a")] == ["gpu2-a"]
    assert target_error(PLANNED, "gpu1") == ""


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert target_error(PLANNED, "gpu3") == (
        "target is gpu3: it has to be a host or an instance of the inventory, -e target=<name>. "
        "There are gpu1 (gpu1-a, gpu1-b); gpu2 (gpu2-a)"
    )
    assert target_error(PLANNED, "").startswith("target is missing: ")


def test_a_rollback_takes_back_the_latest_change_and_a_second_one_nothing() -> None:
    histories = {"gpu1": served(0, 1, 2), "gpu2": served(0, 1, 2, start=1)}
    assert leads_to(histories) == {"gpu1": "r1", "gpu2": "r1"}
    done = go_back(histories, "gpu1", "gpu2")
    assert {history["current"]["release"] for history in done.values()} == {"r1"}
    assert leads_to(done) == {"gpu1": "r1", "gpu2": "r1"}


def test_a_rollback_that_was_interrupted_between_hosts_goes_on() -> None:
    histories = {"gpu1": served(0, 1, 2), "gpu2": served(0, 1, 2)}
    half = go_back(histories, "gpu1")
    assert leads_to(half) == {"gpu1": "r1", "gpu2": "r1"}


def test_a_rollback_of_an_upgrade_that_had_come_to_one_host_changes_that_one() -> None:
    assert leads_to({"gpu1": served(0, 1, 2), "gpu2": served(0, 1)}) == {"gpu1": "r1", "gpu2": "r1"}


def test_a_rollback_of_an_upgrade_that_was_interrupted_on_the_first_host_leaves_what_served() -> None:
    histories = {"gpu1": begin(served(0, 1), version(2)), "gpu2": served(0, 1)}
    assert leads_to(histories) == {"gpu1": "r1", "gpu2": "r1"}
    assert leads_to(go_back(histories, "gpu1")) == {"gpu1": "r1", "gpu2": "r1"}


def test_a_rollback_after_an_upgrade_that_failed_leaves_what_served() -> None:
    failed = abandon(begin(served(0, 1), version(2)), 5)
    assert leads_to({"gpu1": failed, "gpu2": served(0, 1)}) == {"gpu1": "r1", "gpu2": "r1"}


def test_what_was_left_is_not_gone_back_to_later() -> None:
    back = go_back({"gpu1": served(0, 1, 2)}, "gpu1")["gpu1"]
    assert leads_to({"gpu1": serve(back, version(3), 100, way_back=False)}) == {"gpu1": "r1"}


def test_hosts_with_environments_of_their_own_go_back_together() -> None:
    own = {
        host: serve(
            serve(EMPTY, version(1, environment), number, way_back=False),
            version(2, environment),
            number + 5,
            way_back=False,
        )
        for number, (host, environment) in enumerate({"gpu1": "cpu", "gpu2": "cuda"}.items())
    }
    assert leads_to(own) == {"gpu1": "r1", "gpu2": "r1"}


def test_a_new_environment_alone_is_taken_back_as_well() -> None:
    changed = serve(served(1), version(1, "e2"), 5, way_back=False)
    assert ways_back({"gpu1": changed})["gpu1"]["to"] == version(1, "e1")


def test_without_an_earlier_version_there_is_no_way_back() -> None:
    assert leads_to({"gpu1": served(1)}) == {"gpu1": "nothing served there before what serves now"}
    assert "run site.yml" in leads_to({"gpu1": EMPTY, "gpu2": served(1, 2)})["gpu1"]


def test_a_failure_is_told_with_the_words_of_its_command() -> None:
    assert failure_text({"msg": "non-zero return code", "stderr": "why"}) == "non-zero return code\nwhy"
    assert failure_text({"msg": "why", "stderr": ""}) == "why"
