"""The playbooks that measure and check GPU hosts, as a whole, as far as hosts without a GPU go."""

import json

import lab
import pytest
import testinfra
import yaml

HOSTS = {
    name: testinfra.get_host(spec) for name, spec in zip(lab.names("gpu"), lab.hosts("gpu"), strict=True)
}
FACT = "/etc/ansible/facts.d/z_image_turbo_calibration.fact"


def instances(host):
    """Return the ids of the instances that run on a host."""
    rows = HOSTS[host].run("supervisorctl status").stdout.splitlines()
    return {f"{host}-{row.split()[0].removeprefix('z-image-turbo-')}" for row in rows}


def test_calibration_writes_every_instances_seconds_into_the_inventory_and_keeps_those_of_other_hosts(
    tmp_path,
):
    record = tmp_path / "calibration.yml"
    play = lab.play("playbooks/calibrate.yml", "gpu", calibrate_record=str(record), calibrate_pictures=1)
    assert play.rc == 0, play.output
    measured = yaml.safe_load(record.read_text())["calibration"]
    assert set(measured) == instances("gpu1") | instances("gpu2")
    assert all(seconds > 0 for seconds in measured.values())
    assert set(json.loads(HOSTS["gpu1"].file(FACT).content_string)) == instances("gpu1")

    before = measured | {"gpu2-a": 1000.0}
    play = lab.play(
        "playbooks/calibrate.yml",
        "gpu2",
        calibrate_record=str(record),
        calibrate_pictures=1,
        calibration=before,
    )
    assert play.rc == 0, play.output
    again = yaml.safe_load(record.read_text())["calibration"]
    assert {name: again[name] for name in instances("gpu1")} == {
        name: before[name] for name in instances("gpu1")
    }
    assert again["gpu2-a"] < 1000

    plan = lab.play("playbooks/check_inventory.yml", "", calibration=again)
    assert plan.rc == 0, plan.output


def test_the_check_of_gpu_hosts_draws_with_every_instance_and_changes_nothing():
    play = lab.play("playbooks/gpu_check.yml", "gpu", calibrate_pictures=1)
    assert play.rc == 0, play.output
    assert "gpu1 has no GPU by the inventory" in play.output
    assert all(f"{name}:" in play.output for host in HOSTS for name in instances(host))
    assert set(play.changed.values()) == {0}


@pytest.fixture
def pretended():
    """A GPU that nvidia-smi tells of and nobody can calculate with."""
    host = HOSTS["gpu2"]
    smi = (lab.ROOT / "molecule/cuda/files/fake_nvidia_smi.py").read_text()
    host.check_output("printf %%s %s >/usr/local/bin/nvidia-smi && chmod +x /usr/local/bin/nvidia-smi", smi)
    host.check_output(
        "echo %s >/etc/fake-nvidia.json", json.dumps({"gpus": [{"name": "NVIDIA L40S", "memory": 46068}]})
    )
    yield
    host.check_output("rm /usr/local/bin/nvidia-smi /etc/fake-nvidia.json")


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        (2, "gpus is 2 in the inventory, and the host has 1"),
        (1, "PyTorch sees 0 GPUs, and 1 are expected"),
    ],
    ids=["another number", "one that does not calculate"],
)
def test_the_check_of_gpu_hosts_ends_with_what_is_wrong(gpus, message):
    play = lab.play("playbooks/gpu_check.yml", "gpu2", cuda_gpus=gpus, pytorch_gpus=gpus)
    assert play.rc != 0
    assert message in " ".join(play.output.split())
