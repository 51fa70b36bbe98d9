"""Backup, the removal of a host and of everything, and the way back onto fresh hosts."""

import shutil
import ssl
import tarfile
import threading
from collections import Counter

import httpx
import lab
import pytest
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import HOSTS, INVENTORY, NETWORK

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def password_file(tmp_path_factory):
    """The password of the vault."""
    file = tmp_path_factory.mktemp("vault") / "password"
    file.write_text(PASSWORD + "\n")
    return file


@pytest.fixture(scope="module")
def backup(installed, password_file, tmp_path_factory):
    """The folder of a backup, and the certificate that was served then."""
    folder = tmp_path_factory.mktemp("backups")
    run = installed.play(
        "playbooks/backup.yml", backup_folder=str(folder), backup_vault_password_file=str(password_file)
    )
    assert run.rc == 0, run.output
    (kept,) = folder.iterdir()
    return kept, ssl.get_server_certificate((f"{NETWORK}.10", 443))


def test_private_keys_are_not_written_down_unencrypted_without_a_word(installed, tmp_path):
    refused = installed.play("playbooks/backup.yml", backup_folder=str(tmp_path / "backups"))
    assert refused.rc != 0
    assert "The archives hold private keys." in " ".join(refused.output.split())
    assert not (tmp_path / "backups").exists()


def test_a_backup_has_certificate_and_key_of_each_gateway_encrypted_and_for_its_owner_alone(backup, tmp_path):
    kept, _ = backup
    assert {file.name for file in kept.iterdir()} == {"gw1.tar.gz", "gw2.tar.gz", "inventory.tar.gz"}
    assert kept.stat().st_mode & 0o077 == 0
    vault = VaultLib([(DEFAULT_VAULT_ID_MATCH, VaultSecret(PASSWORD.encode()))])
    (tmp_path / "gw1.tar.gz").write_bytes(vault.decrypt((kept / "gw1.tar.gz").read_bytes()))
    with tarfile.open(tmp_path / "gw1.tar.gz") as archive:
        names = archive.getnames()
    assert any(name.endswith("/privkey.pem") for name in names), names


def without(host, folder):
    """Return a copy of the inventory from which the lines of a host were deleted."""
    copy = shutil.copytree(INVENTORY, folder / "inventory")
    lines = (copy / "hosts.yml").read_text().splitlines()
    at = number_of(host) - 1
    (copy / "hosts.yml").write_text("\n".join(lines[:at] + lines[at + 2 :]) + "\n")
    return copy


def number_of(host):
    """Return the number of the line with a host in the inventory."""
    return (INVENTORY / "hosts.yml").read_text().splitlines().index(f"        {host}:") + 1


def test_a_host_that_is_not_there_is_not_removed(installed):
    refused = installed.play("playbooks/remove_host.yml", "", remove_host="gpu9")
    assert refused.rc != 0
    said = " ".join(refused.output.split())
    assert (
        "remove_host is 'gpu9', which is neither among the GPU hosts (gpu1, gpu2) nor among the gateways"
        in said
    )


def test_a_host_that_cannot_be_spared_is_not_removed(installed, tmp_path):
    left = {
        "inventory": without("gw2", tmp_path),
        "project_folder": str(lab.ROOT),
        "virtual_ip_addresses": [],
    }
    refused = installed.play("playbooks/remove_host.yml", "", remove_host="gw1", **left)
    assert refused.rc != 0
    assert "gw1 is the only gateway" in " ".join(refused.output.split())


@pytest.fixture
def users(installed):
    """Ask for pictures at the virtual IP, two at once; return how many ended how."""
    assert installed
    ended, stop = Counter(), threading.Event()

    def ask():
        body = {"prompt": "a user", "width": 256, "height": 256}
        while not stop.is_set() and ended.total() < 2000:
            try:
                how = httpx.post(
                    f"https://{NETWORK}.100/sdapi/v1/txt2img", json=body, timeout=120, verify=False
                )
                ended[how.status_code] += 1
            except httpx.HTTPError as error:
                ended[repr(error)] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield ended
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("backup")
def test_a_host_leaves_while_users_go_on_and_the_lines_to_delete_are_named(installed, users):
    removed = installed.play("playbooks/remove_host.yml", "", remove_host="gpu2")
    assert removed.rc == 0, removed.output
    assert users.total() > 0
    assert set(users) == {200}
    assert f"hosts.yml:{number_of('gpu2')} gpu2:" in removed.output
    assert "gpu2-a" not in installed.on("gw1", "z-image-turbo-gateway status")
    assert installed.on("gpu2", "systemctl is-active supervisor || true").strip() == "inactive"
    assert installed.on("gw1", "ls /var/lib/z-image-turbo-gateway/drain.d").strip() == ""


@pytest.mark.usefixtures("backup")
def test_a_gateway_leaves_while_users_go_on(installed, users):
    removed = installed.play("playbooks/remove_host.yml", "", remove_host="gw2")
    assert removed.rc == 0, removed.output
    assert users.total() > 0
    assert set(users) == {200}
    for unit in ("nginx", "keepalived"):
        assert installed.on("gw2", f"systemctl is-active {unit} || true").strip() == "inactive"


def test_nothing_is_uninstalled_without_a_word(installed):
    refused = installed.play("playbooks/uninstall.yml")
    assert refused.rc != 0
    assert "If you mean it: -e uninstall_confirmed=true." in " ".join(refused.output.split())
    assert installed.on("gpu1", "supervisorctl status").count("RUNNING") == 1


@pytest.fixture(scope="module")
def uninstalled(installed, backup):
    """The hosts without the service."""
    assert backup
    run = installed.play("playbooks/uninstall.yml", uninstall_confirmed=True)
    assert run.rc == 0, run.output
    return {host: installed.snapshot(host) for host in HOSTS}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("what", ["files", "settings", "users", "services", "packages"])
def test_an_uninstalled_host_is_as_it_was(fresh, uninstalled, host, what):
    before, after = getattr(fresh[host], what), getattr(uninstalled[host], what)
    assert (sorted(after - before), sorted(before - after)) == ([], [])


@pytest.mark.usefixtures("uninstalled")
def test_what_a_host_served_before_it_serves_again():
    assert httpx.get(f"http://{NETWORK}.13/").text == "of somebody\n"


@pytest.mark.usefixtures("uninstalled")
def test_a_second_uninstall_changes_nothing(installed):
    again = installed.play("playbooks/uninstall.yml", uninstall_confirmed=True)
    assert again.rc == 0, again.output
    assert set(again.changed.values()) == {0}, again.output
    assert httpx.get(f"http://{NETWORK}.13/").text == "of somebody\n"


@pytest.mark.usefixtures("uninstalled")
def test_a_gateway_comes_back_with_its_certificate(installed, backup, password_file):
    kept, certificate = backup
    vault = {"env": {"ANSIBLE_VAULT_PASSWORD_FILE": str(password_file)}}
    restored = installed.play("playbooks/restore.yml", "gw1", backup_from=str(kept), **vault)
    assert restored.rc == 0, restored.output
    again = installed.play("playbooks/restore.yml", "gw1", backup_from=str(kept), **vault)
    assert again.rc != 0
    assert "A backup is for a fresh host." in " ".join(again.output.split())
    run = installed.play("site.yml", "gw1")
    assert run.rc == 0, run.output
    assert ssl.get_server_certificate((f"{NETWORK}.10", 443)) == certificate
