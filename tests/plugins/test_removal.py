"""What the collection has put on a host goes, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.filter.inventory_lines import inventory_lines
from plugins.modules import added_packages, remove_paths
from plugins.modules.remove_paths import SystemPathError, remove


@pytest.fixture(autouse=True)
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have not even a module that is broken remove something from the machine that tests it."""
    delete = remove_paths.delete

    def guarded(path: Path) -> None:
        assert tmp_path in (path.parent.resolve() / path.name).parents
        delete(path)

    monkeypatch.setattr(remove_paths, "delete", guarded)


def test_files_folders_links_and_patterns_go_and_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    (ours / "deep").mkdir(parents=True)
    others.mkdir()
    (others / "kept").touch()
    (tmp_path / "nginx.conf").touch()
    (tmp_path / "nginx.conf.1.2026~").touch()
    (tmp_path / "link").symlink_to(others)
    (tmp_path / "dangling").symlink_to("nowhere")
    paths = [f"{tmp_path}/{name}" for name in ("ours", "nginx.conf*", "link", "dangling", "missing")]
    assert len(remove(paths, [], check=True)) == 5
    assert ours.exists()
    assert len(remove(paths, [])) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["others"]
    assert (others / "kept").exists()
    assert remove(paths, []) == []


def test_folders_go_when_they_are_empty_and_only_then(tmp_path: Path) -> None:
    inner, full = tmp_path / "outer" / "inner", tmp_path / "full"
    inner.mkdir(parents=True)
    full.mkdir()
    (inner / "file").touch()
    (full / "of somebody").touch()
    empty = [str(inner), str(inner.parent), str(full), str(tmp_path / "missing")]
    wanted = remove([f"{inner}/file"], empty, check=True)
    assert wanted == remove([f"{inner}/file"], empty) == [f"{inner}/file", str(inner), str(inner.parent)]
    assert (full / "of somebody").exists()


@pytest.mark.parametrize(
    "path",
    [
        *("", " ", "/", "//", "/etc", "/usr", "/var", "/home", "/opt", "relative/path", "./x", "~/x"),
        *("/var/lib", "/var/log/", "/etc/nginx", "/home/ann", "/root/.ssh", "/etc/ssl", "/boot/grub"),
        *("/opt/z-image-turbo/", "/etc/letsencrypt/*/"),  # the name that should follow was empty
        *("/etc/../etc/x", "/opt/z-image-turbo/../x", "/opt/.."),
        *(
            "/opt/*/x",
            "/*/z-image-turbo/x",
            "/etc/nginx/*",
            "/opt/z-image-turbo/**/x",
            "/opt/x/?*",
            "/opt/x/[a-z]*",
        ),
    ],
)
def test_a_path_of_the_system_is_refused_and_nothing_is_removed(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []
    monkeypatch.setattr(remove_paths, "delete", removed.append)
    (tmp_path / "file").touch()
    with pytest.raises(SystemPathError):
        remove([f"{tmp_path}/file", path], [])
    assert not removed
    assert remove_paths.is_of_system(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/z-image-turbo-mig.json", "/opt/z-image-turbo", "/srv/models", "/data/environments"),
        *("/etc/nginx/gateway-*", "/etc/letsencrypt/*/z-image-turbo", "/var/lib/prometheus/metrics2"),
        f"/etc/z-image-turbo/tls/{'[0-9a-f]' * 16}",
        "/etc/systemd/system/*.service.d/z-image-turbo-monitoring.conf",
    ],
)
def test_a_path_that_a_role_has_made_is_not_of_the_system(path: str) -> None:
    assert not remove_paths.is_of_system(path)


def test_what_a_link_in_the_middle_leads_to_is_not_removed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "kept").touch()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "link").symlink_to(others)
    for pattern in (f"{tmp_path}/ours/link/kept", f"{tmp_path}/ours/*/kept"):
        with pytest.raises(SystemPathError, match=f"leads to {others}/kept by a link"):
            remove([f"{tmp_path}/ours/link", pattern], [])
    assert (tmp_path / "ours" / "link").is_symlink()
    assert remove([f"{tmp_path}/ours/missing"], [f"{tmp_path}/ours/link"]) == []
    assert (others / "kept").exists()


@pytest.mark.parametrize("mounted", ["ours", "ours/deep/disk"])
def test_what_is_mounted_is_not_removed_nor_what_it_is_mounted_in(
    mounted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours" / "deep" / "disk").mkdir(parents=True)
    monkeypatch.setattr(remove_paths, "mount_points", lambda: {tmp_path / mounted})
    with pytest.raises(SystemPathError, match=f"{tmp_path / mounted} is mounted"):
        remove([f"{tmp_path}/ours"], [])
    assert remove([], [str(tmp_path / mounted), f"{tmp_path}/ours"]) == []
    assert (tmp_path / "ours" / "deep" / "disk").is_dir()


def test_mounts_are_found_whatever_their_names_are(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 22 8:2 /x /srv/my\\040disk rw - ext4 /dev/sdb rw\n"
    )
    assert remove_paths.mount_points(table) == {Path("/"), Path("/srv/my disk")}
    assert Path("/") in remove_paths.mount_points()


def test_a_folder_that_a_package_has_brought_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remove_paths.is_packaged(Path("/usr/share/doc"))
    assert not remove_paths.is_packaged(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(remove_paths, "is_packaged", lambda folder: folder == tmp_path / "theirs")
    with pytest.raises(SystemPathError, match="a Debian package has brought it"):
        remove([f"{tmp_path}/file", f"{tmp_path}/theirs"], [])
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("folder", ["", "/", "/etc", "/var/lib/", "relative", "/opt/.."])
def test_an_empty_folder_of_the_system_stays(folder: str) -> None:
    assert remove_paths.is_of_system_folder(folder)


class Apt:
    """A host's packages: who needs whom, who was asked for by name."""

    needs = {"supervisor": ["python3-pkg-resources"], "shop": ["nginx"], "nginx": ["nginx-common"]}  # noqa: RUF012
    installed = ("dpkg", "nginx", "nginx-common", "supervisor", "python3-pkg-resources", "openssl", "shop")
    manual = "nginx supervisor shop"

    def __call__(self, *command: str) -> str:
        if command[0] == "dpkg-query":
            return "".join(f"{name} installed\n" for name in self.installed)
        if command[:2] == ("apt-mark", "showmanual"):
            return self.manual
        name = command[-1]
        gone = {name}
        while more := {who for who, needs in self.needs.items() if gone & set(needs)} - gone:
            gone |= more
        return "".join(f"Purg {who} [1]\n" for who in gone)


def test_of_the_packages_those_go_that_were_added_and_that_nobody_else_needs() -> None:
    removed, needed = added_packages.plan(
        {"dpkg", "openssl"}, {"nginx", "super*", "openssl", "certbot"}, set(), Apt()
    )
    assert removed == ["supervisor"]
    assert needed == {"nginx": ["shop"]}


def test_packages_of_before_and_those_that_are_to_be_kept_stay() -> None:
    assert added_packages.plan({"nginx"}, {"nginx", "supervisor"}, {"supervisor"}, Apt()) == ([], {})


def test_the_lines_to_delete_are_named_with_file_and_number(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        "all:\n  children:\n    gpu:\n      hosts:\n        gpu1:\n        gpu10:\n"
        "        gpu1.example.org:\n          address: 192.0.2.1\n    old:\n      hosts:\n        gpu1: {}\n"
    )
    (tmp_path / "more.ini").write_text("[gpu]\ngpu1 address=192.0.2.1\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "gpu1.yml").write_text("gpu1:\n")
    assert inventory_lines([str(tmp_path)], "gpu1") == [
        f"{tmp_path}/hosts.yml:5 gpu1:",
        f"{tmp_path}/hosts.yml:11 gpu1: {{}}",
        f"{tmp_path}/more.ini:2 gpu1 address=192.0.2.1",
        f"{tmp_path}/host_vars/gpu1.yml",
    ]
    assert inventory_lines([str(tmp_path / "more.ini")], "gpu1")[1:] == [f"{tmp_path}/host_vars/gpu1.yml"]
