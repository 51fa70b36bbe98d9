"""The list of servers that Nginx gets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fleets import OPTIONS, content
from z_image_turbo_gateway.fleet import Fleet, FleetError, read_fleet
from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.rendering import render, revision_of


def fleet(folder: Path, hosts: int, each: int) -> Fleet:
    path = folder / "fleet.json"
    path.write_text(json.dumps(content(hosts, each)))
    return read_fleet(path)


def pool(text: str, name: str) -> list[str]:
    """Return the servers of a pool, without their options but with `down` and `backup`."""
    found = re.search(rf"^upstream {name} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    assert found, name
    rows = re.findall(r"server \S+ +(.*?);  # (\S+)", found[1])
    return [
        " ".join([instance, *(word for word in ("backup", "down") if word in options.split())])
        for options, instance in rows
    ]


def second_pool(text: str, instance: str) -> str:
    """Return the name of the pool for what this instance lost or refused."""
    found = re.search(rf"^    {instance} +(api_but_\w+);", text, re.MULTILINE)
    assert found, instance
    return found[1]


def test_the_list_grows_with_the_instances_and_not_with_their_square(tmp_path: Path) -> None:
    small, large = (len(render(fleet(tmp_path, hosts, 3), {})) for hosts in (20, 200))
    assert 9.5 < large / small < 10.5


def test_the_same_input_gives_the_same_text_and_any_change_another_revision(tmp_path: Path) -> None:
    two = fleet(tmp_path, 2, 1)
    first = render(two, {})
    assert render(two, {}) == first
    revisions = {revision_of(render(two, levels)) for levels in ({}, {"gpu0-a": Level.OUT})}
    assert len(revisions) == 2
    assert all(revision.startswith(two.source + ".") for revision in revisions)


def test_one_without_new_work_keeps_its_sessions_and_files(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 2, 2), {"gpu0-a": Level.NO_NEW})
    assert "gpu0-a down" in pool(text, "api")
    assert "gpu0-a backup down" in pool(text, "api")
    assert "gpu0-a down" in pool(text, "ui_new")
    assert "gpu0-a down" in pool(text, second_pool(text, "gpu1-a"))
    assert pool(text, "ui_gpu0-a")[0] == "gpu0-a"
    assert "gpu0-a" in pool(text, "files_gpu0")
    assert not any(server.startswith("gpu0-a") for server in pool(text, "ui_gpu1-a"))


def test_the_sessions_of_one_that_moved_go_to_its_stand_in_on_another_host(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 2, 2), {"gpu0-a": Level.MOVED})
    assert pool(text, "ui_gpu0-a") == ["gpu0-a down", "gpu1-a backup", "gpu1-b backup", "gpu0-b backup"]
    assert "gpu0-a" in pool(text, "files_gpu0")


def test_one_that_is_out_is_asked_for_its_hosts_files_alone_and_last(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 2, 2), {"gpu0-a": Level.OUT})
    servers = {
        server
        for name in re.findall(r"^upstream (\S+)", text, re.MULTILINE)
        for server in pool(text, name)
        if server.startswith("gpu0-a") and name != "files_gpu0"
    }
    assert servers == {"gpu0-a down", "gpu0-a backup down"}
    assert pool(text, "files_gpu0") == ["gpu0-b", "gpu0-a backup", "gpu0-b backup"]


@pytest.mark.parametrize("level", list(Level))
def test_no_pool_of_sessions_or_files_is_ever_without_a_server(tmp_path: Path, level: Level) -> None:
    everybody = fleet(tmp_path, 2, 2)
    text = render(everybody, dict.fromkeys((one.id for one in everybody.instances), level))
    for name in re.findall(r"^upstream ((?:ui_gpu|files_)\S+)", text, re.MULTILINE):
        assert [server for server in pool(text, name) if "down" not in server], name


def test_the_second_try_goes_to_another_host_and_to_the_same_one_when_there_is_no_other(
    tmp_path: Path,
) -> None:
    text = render(fleet(tmp_path, 2, 4), {})
    others = ["gpu1-a", "gpu1-b", "gpu1-c", "gpu1-d"]
    assert pool(text, second_pool(text, "gpu0-a")) == [*others, "gpu0-b backup", "gpu0-d backup"]
    assert pool(text, second_pool(text, "gpu0-b")) == [*others, "gpu0-a backup", "gpu0-c backup"]


@pytest.mark.parametrize(("hosts", "each"), [(1, 2), (1, 5), (2, 1), (3, 2), (4, 1), (7, 3), (20, 2)])
def test_the_second_try_never_meets_the_first_instance_and_has_half_of_all_at_least(
    tmp_path: Path, hosts: int, each: int
) -> None:
    everybody = fleet(tmp_path, hosts, each)
    text = render(everybody, {})
    for one in everybody.instances:
        others = {server.split()[0] for server in pool(text, second_pool(text, one.id))}
        assert one.id not in others
        assert len(others) >= len(everybody.instances) / 2


def test_a_host_alone_gives_the_second_try_to_its_other_instances_at_once(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 1, 3), {})
    assert pool(text, second_pool(text, "gpu0-b")) == ["gpu0-a", "gpu0-c"]


def test_one_instance_alone_has_no_second_try(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 1, 1), {"gpu0-a": Level.OUT})
    assert "api_but" not in text
    assert pool(text, "ui_gpu0-a") == ["gpu0-a"]


def test_what_a_configuration_of_several_instances_asks_for_is_there_when_one_is_left(tmp_path: Path) -> None:
    """The list of one is tried with the configuration that is there, which is replaced after it."""
    several, one = (
        set(re.findall(r"^(?:map|geo) \S+ (\S+) {", render(fleet(tmp_path, hosts, 1), {}), re.MULTILINE))
        for hosts in (2, 1)
    )
    assert "$gateway_second_pool" in several
    assert several == one


def test_the_port_for_the_pages_own_jobs_is_for_instances_and_those_named(tmp_path: Path) -> None:
    text = render(fleet(tmp_path, 2, 2), {})
    clients = re.search(r"geo \$realip_remote_addr \$gateway_pool_client {\n(.*?)}", text, re.DOTALL)
    assert clients
    assert [line.split() for line in clients[1].splitlines()] == [
        ["default", "0;"],
        ["10.0.0.1", "1;"],
        ["10.0.0.2", "1;"],
        ["192.0.2.0/28", "1;"],
    ]


def test_an_ipv6_address_is_written_in_brackets(tmp_path: Path) -> None:
    told = content(1, 1)
    told["instances"][0]["address"] = "2001:db8::1"
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(told))
    assert "server [2001:db8::1]:7861 " in render(read_fleet(path), {})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"instances": []}, "there is no instance"),
        ({"instances": [content(1, 1)["instances"][0]] * 2}, "more than one instance is called gpu0-a"),
        (
            {"instances": [{**content(1, 1)["instances"][0], "address": "gpu0"}]},
            "'gpu0' does not appear to be",
        ),
        ({"instances": [{**content(1, 1)["instances"][0], "weight": 0}]}, "gpu0-a: weight is 0"),
        ({"options": {**OPTIONS, "probe_fal": 3}}, "options: missing or unknown: probe_fal"),
        ({"options": {}}, "options: missing or unknown: drain_idle"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(content(1, 1) | change))
    with pytest.raises(FleetError, match=re.escape(complaint)):
        read_fleet(path)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text('{"instances": [')
    with pytest.raises(FleetError, match=r"fleet\.json: JSONDecodeError"):
        read_fleet(tmp_path / "fleet.json")
