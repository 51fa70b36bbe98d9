"""A bundle has every wheel of the lock files, and is used only as it was built and signed."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CUDA_LOCK = (ROOT / "app" / "requirements-cuda.txt").read_text()


def run_tasks(
    folder: Path, role: str, tasks: str, env: dict[str, str] | None = None, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run some tasks of a role on this machine."""
    playbook = folder / f"{role}-{tasks}.json"
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    task = {"ansible.builtin.import_role": {"name": role, "tasks_from": tasks}}
    playbook.write_text(json.dumps([play | {"name": "Test", "tasks": [task | {"name": "Test"}]}]))
    variables |= {"ansible_python_interpreter": sys.executable}
    return subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            playbook,
            f"--extra-vars={json.dumps(variables)}",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_FORCE_COLOR": "0",
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


# The wheels of CUDA are gigabytes: each has a stand-in of its name and version, in an index and a lock file.


def wheel(folder: Path, name: str, version: str) -> str:
    """Write a wheel with nothing in it into an index; return its hash."""
    words = name.replace("-", "_")
    page = folder / name
    page.mkdir(exist_ok=True)
    file = page / f"{words}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        about = f"{words}-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (page / "index.html").write_text(f'<a href="{file.name}">{file.name}</a>')
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing of it."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Return the URL of an index, a lock file for it, and the packages of both: those of the variant cuda."""
    folder, lock = tmp_path / "simple", tmp_path / "requirements-cuda.txt"
    folder.mkdir()
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ]+)( ;.*)? \\$", CUDA_LOCK, re.MULTILINE)
    lines = [
        f"{name}=={version}{marker} \\\n    --hash=sha256:{wheel(folder, name, version)}\n"
        for name, version, marker in pins
    ]
    lock.write_text("".join(lines))
    handler = partial(Quiet, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/simple", lock, [name for name, *_ in pins]
    server.shutdown()


def fetch(folder: Path, url: str, lock: Path) -> subprocess.CompletedProcess[str]:
    """Have the role fetch the wheels of a lock file into its stage."""
    for part in ("wheels", "control"):
        (folder / "stage" / part).mkdir(parents=True, exist_ok=True)
    return run_tasks(
        folder,
        "bundle_build",
        "wheels",
        env={"PIP_INDEX_URL": url, "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""},
        bundle_build_folder=str(folder),
        bundle_build_lock_files=[str(lock)],
        bundle_build_control_lock_files=[],
        bundle_build_find_links=[],
    )


def test_every_wheel_of_the_cuda_variant_comes_into_the_bundle(
    tmp_path: Path, index: tuple[str, Path, list[str]]
) -> None:
    url, lock, names = index
    done = fetch(tmp_path, url, lock)
    assert done.returncode == 0, done.stdout
    fetched = {file.name.split("-")[0] for file in (tmp_path / "stage" / "wheels").glob("*.whl")}
    assert fetched == {name.replace("-", "_") for name in names}
    assert {"torch", "triton", "nvidia_cublas", "cuda_toolkit", "diffusers"} <= fetched


def test_a_wheel_with_another_hash_ends_the_build_with_its_name(
    tmp_path: Path, index: tuple[str, Path, list[str]]
) -> None:
    url, lock, _ = index
    lock.write_text(re.sub(r"(torch==.* \\\n +--hash=sha256:)\w+", rf"\g<1>{'0' * 64}", lock.read_text()))
    done = fetch(tmp_path, url, lock)
    assert done.returncode != 0
    assert "torch" in said(done)
    assert "DO NOT MATCH THE HASHES" in said(done)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small bundle that the role has packed and signed, and the key's keyring."""
    folder = tmp_path_factory.mktemp("bundle")
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    key = ["--passphrase", "", "--quick-generate-key", "lab@example.org", "ed25519", "sign", "never"]
    subprocess.run([*gpg, *key], check=True)
    keyring = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
    (folder / "keyring.gpg").write_bytes(keyring)
    for part in ("debian", "wheels", "control", "model"):
        (folder / "stage" / part).mkdir(parents=True)
        (folder / "stage" / part / "file").write_text(f"what {part} is")
    built = run_tasks(
        folder,
        "bundle_build",
        "pack",
        env={"GNUPGHOME": str(home)},
        bundle_build_folder=str(folder),
        bundle_build_path=str(folder / "bundle.tar"),
        bundle_build_repository=str(ROOT),
        bundle_build_roles_folder=str(ROOT / "roles"),
        bundle_build_model_source="none",
        bundle_build_sign_key="lab@example.org",
    )
    assert built.returncode == 0, built.stdout
    return folder


@pytest.fixture
def carried(signed: Path, tmp_path: Path) -> Path:
    """Return a folder that the archive, its hash and its signature were carried to."""
    for name in ("bundle.tar", "bundle.tar.sha256", "bundle.tar.sig", "keyring.gpg"):
        shutil.copy(signed / name, tmp_path)
    return tmp_path


def verify(folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Have the role verify and unpack the archive of a folder."""
    return run_tasks(folder, "bundle", "control", bundle_path=str(folder / "bundle.tar"), **variables)


def exchange(folder: Path) -> None:
    """Exchange the archive together with its hash."""
    archive = folder / "bundle.tar"
    archive.write_bytes(archive.read_bytes().replace(b"what model is", b"evil model is"))
    (folder / "bundle.tar.sha256").write_text(
        f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  bundle.tar\n"
    )


def test_an_archive_with_the_signature_of_a_trusted_key_is_unpacked(carried: Path) -> None:
    done = verify(carried, bundle_keyring=str(carried / "keyring.gpg"))
    assert done.returncode == 0, done.stdout
    assert (carried / "bundle.tar.d" / "SHA256SUMS").exists()
    again = verify(carried, bundle_keyring=str(carried / "keyring.gpg"))
    assert "changed=0" in again.stdout


def test_an_archive_that_was_exchanged_together_with_its_hash_is_refused_by_its_signature(
    carried: Path,
) -> None:
    exchange(carried)
    refused = verify(carried, bundle_keyring=str(carried / "keyring.gpg"))
    assert refused.returncode != 0
    assert "has no signature in" in said(refused)
    assert "BAD signature" in said(refused)
    assert not (carried / "bundle.tar.d").exists()


def test_a_keyring_that_is_named_later_is_held_against_what_was_unpacked_already(carried: Path) -> None:
    exchange(carried)
    assert verify(carried).returncode == 0
    refused = verify(carried, bundle_keyring=str(carried / "keyring.gpg"))
    assert refused.returncode != 0
    assert "BAD signature" in said(refused)


def test_an_archive_that_was_damaged_on_the_way_is_refused_by_its_hash(carried: Path) -> None:
    with (carried / "bundle.tar").open("ab") as archive:
        archive.write(b"\0")
    refused = verify(carried)
    assert refused.returncode != 0
    assert "nothing of it was used" in said(refused)
    assert not (carried / "bundle.tar.d").exists()


def test_an_archive_without_its_signature_or_its_hash_is_refused(carried: Path) -> None:
    (carried / "bundle.tar.sig").unlink()
    unsigned = verify(carried, bundle_keyring=str(carried / "keyring.gpg"))
    assert unsigned.returncode != 0
    assert "has no signature in" in said(unsigned)
    (carried / "bundle.tar.sha256").unlink()
    unknown = verify(carried)
    assert unknown.returncode != 0
    assert "its SHA-256 is not known" in said(unknown)
