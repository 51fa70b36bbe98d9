"""Which Debian packages a bundle needs is read off the roles themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.debian_packages import debian_packages

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"bundle", "bundle_build", "cuda", "local_hosts"}


def role(folder: Path, tasks: str, variables: str = "") -> list[str]:
    """Write a role and return what it installs."""
    for name, text in (("tasks", tasks), ("vars", variables)):
        (folder / "web" / name).mkdir(parents=True)
        (folder / "web" / name / "main.yml").write_text(text)
    return debian_packages(str(folder))


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("nginx", ["nginx"]),
        ("[nginx, curl]", ["curl", "nginx"]),
        ('"{{ __web_packages }}"', ["a", "b"]),
        ("\"{{ ['nginx'] + (['njs'] if web_mode == 'users' else []) }}\"", ["nginx", "njs"]),
        ("\"{{ __web_packages + (['njs'] if web_users else []) }}\"", ["a", "b", "njs"]),
    ],
    ids=["a name", "a list", "a variable", "a condition", "both"],
)
def test_every_name_that_a_task_can_install_is_found(tmp_path: Path, name: str, packages: list[str]) -> None:
    tasks = f"- block:\n    - name: Install\n      ansible.builtin.apt:\n        name: {name}\n"
    assert role(tmp_path, tasks, "__web_packages: [a, b]\n") == packages


def test_a_name_that_depends_on_the_host_is_refused_so_that_none_is_left_out_unnoticed(
    tmp_path: Path,
) -> None:
    tasks = "- name: Install it\n  ansible.builtin.apt:\n    name: \"linux-{{ ansible_facts['kernel'] }}\"\n"
    with pytest.raises(AnsibleFilterError, match=r"web: the task 'Install it'.*cannot be told"):
        role(tmp_path, tasks)


def test_a_folder_without_roles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="there is no role in"):
        debian_packages(str(tmp_path))


def test_what_a_role_removes_is_not_installed(tmp_path: Path) -> None:
    assert role(tmp_path, "- ansible.builtin.apt: {name: apache2, state: absent}\n") == []


@pytest.mark.parametrize(
    "folder",
    [folder for folder in sorted((ROOT / "roles").iterdir()) if folder.name not in LEFT_OUT],
    ids=lambda folder: folder.name,
)
def test_the_packages_of_every_role_can_be_told(folder: Path) -> None:
    debian_packages(str(ROOT / "roles"), {path.name for path in (ROOT / "roles").iterdir()} - {folder.name})


def test_the_roles_of_the_service_need_what_they_are_known_to_need() -> None:
    found = debian_packages(str(ROOT / "roles"), LEFT_OUT)
    assert {"nginx", "python3-venv", "supervisor", "logrotate"} <= set(found)
