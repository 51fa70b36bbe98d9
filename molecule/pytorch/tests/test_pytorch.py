"""The promises of the role pytorch."""

import base64
import hashlib
import json
import zipfile

import lab
import pytest

testinfra_hosts = lab.hosts("pytorch")
ROOT = "/opt/z-image-turbo/environments"
CURRENT = f"{ROOT}/current"
TAGS = "pytorch_environment"


def converge(**variables):
    return lab.play("molecule/pytorch/converge.yml", "pytorch1", tags=TAGS, **variables)


def lock_of(host, *packages):
    """Return a lock file with these packages alone, and the installer."""
    blocks = host.file(f"{CURRENT}/requirements.txt").content_string.split("\n")
    text, taken = [], False
    for line in blocks:
        taken = line.split("==")[0] in {*packages, "uv"} if "==" in line else taken and line[:1] == " "
        text += [line] if taken else []
    return "\n".join(text) + "\n"


@pytest.fixture
def put_back(host):
    """Leave the environment in use that the scenario found."""
    before = host.file(CURRENT).linked_to
    yield
    assert host.file(CURRENT).linked_to == before or converge().rc == 0


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


def test_the_installer_leaves_no_cache_behind(host):
    assert not host.file(f"{ROOT}/.cache").exists


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_package_with_another_hash_is_refused_and_the_running_environment_stays(host, tmp_path, installer):
    before = host.file(CURRENT).linked_to
    lock = lock_of(host, "certifi")
    forged = tmp_path / "forged.txt"
    forged.write_text(
        lock[: lock.index("sha256:")] + "sha256:" + "0" * 64 + "\n" + lock[lock.index("uv==") :]
    )
    play = converge(pytorch_lock_file=str(forged), pytorch_installer=installer, pytorch_check="")
    assert play.rc != 0
    assert "hash mismatch" in play.output.lower() or "do not match the hashes" in play.output.lower()
    assert "certifi" in play.output
    assert host.file(CURRENT).linked_to == before


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"pytorch_variant": "cu124"}, "which is PyTorch 2.5.0: diffusers 0.42 and transformers 5"),
        ({"pytorch_variant": "cu999"}, "pytorch_variant is cu999: known are cpu, cuda, cu126, cu124"),
        ({"pytorch_variant": "cu126", "pytorch_lock_file": "app/none.txt"}, "VARIANT=cu126 scripts/lock"),
        ({"pytorch_gpus": 2}, "which sees no GPU, and the plan of pytorch1 has 2"),
    ],
    ids=["too old", "unknown", "not locked", "no CUDA"],
)
def test_a_variant_that_cannot_work_is_refused_with_the_reason(variables, message):
    play = converge(**variables)
    assert play.rc != 0
    assert message in " ".join(play.output.split())


def test_a_disk_that_is_too_small_is_refused_with_the_numbers(host, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(lock_of(host, "idna"))
    variants = {"cpu": {"torch": "2.13.0", "cuda": "", "index": "none", "disk": 99999}}
    play = converge(pytorch_lock_file=str(lock), pytorch_variants=variants)
    assert play.rc != 0
    assert "takes 99999 GB below /opt/z-image-turbo/environments" in " ".join(play.output.split())


@pytest.mark.usefixtures("put_back")
def test_an_upgrade_a_way_back_and_no_room_for_more_than_is_kept(host, tmp_path):
    first = host.file(CURRENT).linked_to
    host.check_output("mkdir -p /etc/supervisor/conf.d")
    host.check_output(f"echo 'command = {first}/bin/python' >/etc/supervisor/conf.d/test.conf")
    text = lock_of(host, "idna")
    for number in range(2):
        lock = tmp_path / f"{number}.txt"
        lock.write_text(f"# {lock}\n{text}")
        play = converge(pytorch_lock_file=str(lock), pytorch_check="import idna", pytorch_environments_kept=1)
        assert play.rc == 0, play.output
    versions = host.check_output(f"ls {ROOT}").split()
    assert len(versions) == 3  # the link, the one in use, and the one that the program's file names
    assert first.rsplit("/", 1)[1] in versions
    back = converge()
    assert back.changed["pytorch1"] == 1, back.output
    assert host.file(CURRENT).linked_to == first
    host.check_output("rm /etc/supervisor/conf.d/test.conf")


@pytest.mark.usefixtures("put_back")
def test_a_broken_download_leaves_the_environment_in_use_and_is_completed_by_the_next_run(host, tmp_path):
    before = host.file(CURRENT).linked_to
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# {lock}\n" + lock_of(host, "idna"))
    host.check_output("mkdir -p /root/half && ln -sf /wheelhouse/uv-*.whl /root/half")
    host.check_output("head -c 1000 /wheelhouse/idna-*.whl >/root/half/$(basename /wheelhouse/idna-*.whl)")
    broken = converge(
        pytorch_lock_file=str(lock), pytorch_check="import idna", pytorch_find_links=["/root/half"]
    )
    host.check_output("rm -r /root/half")
    assert broken.rc != 0
    assert "idna" in broken.output
    assert host.file(CURRENT).linked_to == before
    whole = converge(pytorch_lock_file=str(lock), pytorch_check="import idna")
    assert whole.rc == 0, whole.output


TORCH = """
import json
__version__ = "2.13.0"
class version:
    cuda = "13.0"
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: json.load(open("/etc/fake-gpus.json")))
"""


def stand_in_of_torch(folder):
    """Write a wheel of a PyTorch that sees as many GPUs as a file says; return its hash."""
    file = folder / "torch-2.13.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("torch.py", TORCH)
        archive.writestr(
            "torch-2.13.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n"
        )
        archive.writestr(
            "torch-2.13.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("torch-2.13.0.dist-info/RECORD", "")
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.usefixtures("put_back")
def test_eight_gpus_have_to_be_seen_and_one_that_is_lost_leaves_the_environment_in_use(host, tmp_path):
    before = host.file(CURRENT).linked_to
    file, digest = stand_in_of_torch(tmp_path)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"torch==2.13.0 \\\n    --hash=sha256:{digest}\n" + lock_of(host))
    host.check_output("mkdir -p /root/torch && ln -sf /wheelhouse/uv-*.whl /root/torch")
    host.check_output(
        "echo %s | base64 --decode >/root/torch/" + file.name, base64.b64encode(file.read_bytes()).decode()
    )
    variables = {
        "pytorch_lock_file": str(lock),
        "pytorch_variant": "cuda",
        "pytorch_gpus": 8,
        "pytorch_check": "import torch",
        "pytorch_find_links": ["/root/torch"],
        "pytorch_variants": {"cuda": {"torch": "2.13.0", "cuda": "13.0", "index": "none", "disk": 1}},
    }
    host.check_output("echo 7 >/etc/fake-gpus.json")
    lost = converge(**variables)
    assert lost.rc != 0
    assert (
        "and sees 7 GPU(s); the plan expects CUDA 13.0 and 8. The environment in use was not changed"
        in " ".join(lost.output.split())
    )
    assert host.file(CURRENT).linked_to == before
    host.check_output("echo 8 >/etc/fake-gpus.json")
    whole = converge(**variables)
    assert whole.rc == 0, whole.output
    assert host.file(CURRENT).linked_to != before
