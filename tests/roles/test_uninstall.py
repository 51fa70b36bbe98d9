"""Every role that changes hosts can be undone, and every playbook that changes hosts locks them first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from plugins.modules.remove_paths import is_of_system

ROOT = Path(__file__).parents[2]
SITE = ROOT / "playbooks" / "site.yml"
# What they change goes with what the others remove, or they change nothing that stays.
WITHOUT = {"inventory_check", "rollout"}
READERS = {
    *("bundle.yml", "check_inventory.yml", "doctor.yml", "gpu_check.yml", "status.yml"),
    *("backup.yml", "calibrate.yml", "local_hosts.yml"),  # these write on the control node
    *("begin.yml", "end.yml", "unlock.yml"),
    *("application.yml", "preflight.yml"),  # parts of others
    *("monitoring_files.yml", "smoke.yml"),
}


def plays(playbook: Path) -> list[dict[str, Any]]:
    """Return the plays of a playbook, those of the ones that it imports included."""
    found: list[dict[str, Any]] = []
    for play in yaml.safe_load(playbook.read_text()):
        imported = play.get("ansible.builtin.import_playbook")
        found += plays(playbook.parent / imported) if imported else [play]
    return found


def roles_of(playbook: Path) -> set[str]:
    """Return the roles that a playbook uses."""
    found = {role["role"] for play in plays(playbook) for role in play.get("roles", ())}
    for play in plays(playbook):
        for task in [*play.get("pre_tasks", ()), *play.get("tasks", ()), *play.get("post_tasks", ())]:
            for kind in ("import_role", "include_role"):
                found |= (
                    {task[f"ansible.builtin.{kind}"]["name"]} if f"ansible.builtin.{kind}" in task else set()
                )
    return found


@pytest.mark.parametrize("role", sorted(roles_of(SITE) - WITHOUT))
def test_what_a_role_of_the_site_has_made_is_removed_by_the_uninstall(role: str) -> None:
    assert (ROOT / "roles" / role / "tasks" / "uninstall.yml").exists()
    assert role in roles_of(ROOT / "playbooks" / "uninstall.yml")


def tasks(found: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return tasks with those in their blocks."""
    return [
        inner
        for task in found or []
        for inner in (task, *(one for part in ("block", "rescue", "always") for one in tasks(task.get(part))))
    ]


def test_files_of_others_that_a_role_edits_are_put_back_by_the_uninstall() -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "deployment" / "defaults" / "main.yml").read_text())
    edited = {
        task[f"ansible.builtin.{module}"]["path"]
        for role in sorted(roles_of(SITE))
        for file in (ROOT / "roles" / role / "tasks").glob("*.yml")
        for task in tasks(yaml.safe_load(file.read_text()))
        for module in ("lineinfile", "blockinfile", "replace")
        if f"ansible.builtin.{module}" in task
    }
    assert edited
    assert edited <= set(defaults["deployment_kept_files"])


@pytest.mark.parametrize(
    "playbook",
    [path for path in sorted((ROOT / "playbooks").glob("*.yml")) if path.name not in READERS],
    ids=lambda path: path.name,
)
def test_a_playbook_that_changes_hosts_locks_them_first(playbook: Path) -> None:
    imported = [play.get("ansible.builtin.import_playbook") for play in yaml.safe_load(playbook.read_text())]
    assert "begin.yml" in imported
    before = yaml.safe_load(playbook.read_text())[: imported.index("begin.yml")]
    on_control_node = all(
        play.get("hosts") == "all, localhost"
        or play.get("ansible.builtin.import_playbook") == "check_inventory.yml"
        for play in before
    )
    assert on_control_node


def trust(value: Any) -> Any:
    """Return what a file of a role holds, its expressions as such."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trust(one) for one in value]
    return {key: trust(one) for key, one in value.items()} if isinstance(value, dict) else value


def removals() -> list[tuple[str, dict[str, Any]]]:
    """Return each use of remove_paths with its role, and the variables of its task among the arguments."""
    return [
        (file.parents[1].name, {"vars": task.get("vars", {}), **task["remove_paths"]})
        for file in sorted((ROOT / "roles").glob("*/tasks/*.yml"))
        for task in tasks(yaml.safe_load(file.read_text()))
        if "remove_paths" in task
    ]


@pytest.mark.parametrize(
    ("role", "arguments"), removals(), ids=[f"{role}-{n}" for n, (role, _) in enumerate(removals())]
)
def test_what_a_role_removes_as_it_comes_is_accepted(role: str, arguments: dict[str, Any]) -> None:
    variables: dict[str, Any] = {
        "inventory_hostname": "gpu1",
        "role_path": str(ROOT / "roles" / role),
        "bundle_path": "/srv/bundle.tar",
        "__deployment_removed": {"removed": ["nginx", "supervisor", "rsyslog"]},
    }
    for part in ("defaults", "vars"):
        file = ROOT / "roles" / role / part / "main.yml"
        text = file.read_text() if file.exists() else "{}"
        variables |= trust(yaml.safe_load(text) or {})
    templar = Templar(loader=DataLoader(), variables=variables | trust(arguments["vars"]))
    paths = templar.template(trust(arguments["paths"]))
    assert isinstance(paths, list)
    assert [path for path in paths if is_of_system(path)] == []
