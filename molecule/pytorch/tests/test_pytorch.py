"""The promises of the role pytorch."""

import json

import lab
import pytest

testinfra_hosts = lab.hosts("pytorch")
CURRENT = "/opt/z-image-turbo/environments/current"


def test_the_environment_draws_with_the_locked_versions(host):
    code = "import json, torch, diffusers; print(json.dumps([torch.__version__, diffusers.__version__]))"
    versions = json.loads(host.check_output(f"{CURRENT}/bin/python -c '{code}'"))
    locked = host.file(f"{CURRENT}/requirements.txt").content_string
    assert [f"torch=={versions[0]} " in locked, f"diffusers=={versions[1]} " in locked] == [True, True]


def test_nobody_but_root_can_change_it(host):
    assert host.run(f"find {CURRENT}/ -not -user root -o -perm /022 -not -type l | head").stdout == ""


@pytest.mark.parametrize("module", ["torch", "diffusers", "gradio"])
def test_what_the_application_imports_is_compiled_already(host, module):
    assert host.run(f"ls {CURRENT}/lib/python3.*/site-packages/{module}/__pycache__/__init__*.pyc").rc == 0


def test_a_package_with_another_hash_is_refused_and_the_running_environment_stays(host, tmp_path):
    before = host.file(CURRENT).linked_to
    lock = host.file(f"{CURRENT}/requirements.txt").content_string
    forged = tmp_path / "forged.txt"
    forged.write_text(lock[: lock.index("sha256:")] + "sha256:" + "0" * 64 + "\n")
    play = lab.play("molecule/pytorch/converge.yml", "pytorch1", pytorch_lock_file=str(forged))
    assert play.rc != 0
    assert "DO NOT MATCH THE HASHES" in play.output
    assert host.file(CURRENT).linked_to == before
