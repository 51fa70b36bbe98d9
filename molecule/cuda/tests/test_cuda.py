"""The promises of the role cuda: what is installed and held, what is never touched, and what is refused."""

import json

import lab
import pytest
import testinfra

testinfra_hosts = lab.hosts("cuda")[:1]
STATE = "/etc/fake-nvidia.json"
FACT = "/etc/ansible/facts.d/gpu.fact"
BARE, EQUIPPED, WITHOUT, PLAIN = (testinfra.get_host(host) for host in lab.hosts("cuda"))


def converge(limit, tags="cuda_driver,cuda_fact", **variables):
    play = lab.play("molecule/cuda/converge.yml", limit, tags=tags, **variables)
    return play._replace(output=" ".join(play.output.split()))


def version(host, package="nvidia-driver-cuda"):
    return host.package(package).version


def set_state(host, **state):
    """Change what the stand-in of nvidia-smi answers."""
    known = json.loads(host.file(STATE).content_string)
    host.check_output("echo %s >" + STATE, json.dumps(known | state))


def test_a_bare_host_gets_the_driver_of_the_branch_and_tells_its_gpus():
    fact = json.loads(BARE.check_output(FACT))
    assert version(BARE).startswith("570.")
    assert (fact["health"], fact["count"], fact["cuda"]) == ("ok", 2, "12.8")
    assert fact["driver"] + "-1" == version(BARE)
    assert {device["model"] for device in fact["devices"]} == {"NVIDIA L40S"}
    assert BARE.service("nvidia-persistenced").is_running


def test_a_driver_of_somebody_else_is_left_alone_and_its_eight_gpus_are_told():
    fact = json.loads(EQUIPPED.check_output(FACT))
    assert (fact["health"], fact["count"]) == ("ok", 8)
    assert EQUIPPED.run("dpkg-query --show 'nvidia*'").rc != 0
    assert not EQUIPPED.file("/etc/apt/preferences.d/z-image-turbo-nvidia").exists


def test_a_host_without_gpu_is_not_touched():
    assert not WITHOUT.file(FACT).exists
    assert not WITHOUT.file("/etc/apt/preferences.d/z-image-turbo-nvidia").exists


def test_an_unattended_upgrade_changes_neither_branch_nor_version():
    before = version(BARE)
    BARE.check_output("/srv/make_repository.py /srv/nvidia 570.172.08 570.195.03 580.95.05")
    BARE.check_output("apt-get -qq update")
    upgraded = BARE.check_output("DEBIAN_FRONTEND=noninteractive apt-get -y dist-upgrade")
    assert "kept back" in upgraded
    assert {version(BARE, name) for name in ("nvidia-driver-cuda", "nvidia-persistenced")} == {before}


def test_another_branch_waits_until_a_reboot_is_allowed():
    play = converge("cuda1", cuda_driver_branch="580")
    assert play.rc != 0
    assert "is loaded, which only a reboot ends. Set cuda_reboot_allowed" in play.output
    assert version(BARE).startswith("570.")


def test_a_branch_that_the_repository_does_not_have_changes_no_package():
    play = converge("cuda1", cuda_driver_branch="999", cuda_reboot_allowed=True)
    assert play.rc != 0
    assert "cuda_driver_branch is 999, and the repository offers" in play.output
    assert version(BARE).startswith("570.")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("truncate --size=-100 {file}", "Hash Sum mismatch"),
        ("printf x | dd of={file} bs=1 seek=200 conv=notrunc", "Hash Sum mismatch"),
    ],
    ids=["a broken download", "a wrong hash"],
)
def test_a_package_that_does_not_arrive_whole_changes_nothing_and_the_driver_stays_held(spoil, message):
    before = BARE.run("apt-mark showhold").stdout
    file = BARE.check_output("ls /srv/nvidia/nvidia-driver-cuda_580*.deb")
    BARE.check_output(f"cp {file} /srv/whole.deb && " + spoil.format(file=file))
    try:
        play = converge("cuda1", cuda_driver_branch="580", cuda_reboot_allowed=True)
    finally:
        BARE.check_output(f"mv /srv/whole.deb {file}")
    assert play.rc != 0
    assert "cuda1: the driver was not changed to branch 580:" in play.output
    assert message in play.output
    assert version(BARE).startswith("570.")
    assert BARE.run("apt-mark showhold").stdout == before


def test_a_repository_that_was_changed_after_it_was_signed_is_refused():
    BARE.check_output("cp /srv/nvidia/InRelease /srv/signed && sed -i s/NVIDIA/nobody/ /srv/nvidia/InRelease")
    try:
        play = converge("cuda1", cuda_driver_branch="580", cuda_reboot_allowed=True)
    finally:
        BARE.check_output("mv /srv/signed /srv/nvidia/InRelease")
    assert play.rc != 0
    assert version(BARE).startswith("570.")


def test_a_disk_that_is_too_small_is_refused_with_the_numbers():
    play = converge("cuda1", cuda_driver_branch="580", cuda_reboot_allowed=True, cuda_disk_gb=99999)
    assert play.rc != 0
    assert "the driver takes up to 99999 GB while it is compiled, and " in play.output
    assert version(BARE).startswith("570.")


def test_an_upgrade_reboots_and_the_way_back_does_too():
    for branch, driver in (("580", "580.95.05"), ("570", "570.")):
        play = converge("cuda1", cuda_driver_branch=branch, cuda_reboot_allowed=True)
        assert play.rc == 0, play.output
        assert json.loads(BARE.check_output(FACT))["driver"].startswith(driver)
        assert version(BARE).startswith(driver)
        assert BARE.run("apt-mark showhold").stdout.split() == [
            "nvidia-driver-cuda",
            "nvidia-kernel-open-dkms",
            "nvidia-persistenced",
        ]


FAULTS = [
    ("lost", {"mode": "lost"}, {}, "GPU0000:41:00.0: GPU is lost"),
    ("another number", {"mode": "ok"}, {"gpus": 9}, "gpus is 9 in the inventory, and the host has 8"),
    (
        "mismatch",
        {"mode": "mismatch"},
        {},
        "the driver was changed since the kernel loaded it: reboot the host",
    ),
    ("old driver", {"mode": "ok", "cuda": "12.2"}, {"cuda_level_min": "13.0"}, "runs CUDA up to 12.2"),
]


@pytest.mark.parametrize(
    ("name", "state", "variables", "message"), FAULTS, ids=[fault[0] for fault in FAULTS]
)
def test_a_fault_is_refused_with_its_name(name, state, variables, message):
    set_state(EQUIPPED, **state)
    try:
        play = converge("cuda2", **variables)
    finally:
        set_state(EQUIPPED, mode="ok", cuda="13.0")
    assert play.rc != 0, name
    assert message in play.output
    assert "Install the kernel's headers" not in play.output


def divide(profiles, **variables):
    """Have the first of eight GPUs divided, as declared."""
    variables = {"cuda_mig": {"0": profiles}, "gpus": 7 + (len(profiles) or 1), **variables}
    return converge("cuda2", tags="cuda_mig,cuda_fact", **variables)


def devices(host):
    """Return what CUDA can be told to use on a host."""
    return [(device["model"], device["uuid"]) for device in json.loads(host.check_output(FACT))["devices"]]


@pytest.fixture
def whole():
    """Leave the host with GPUs in one piece."""
    yield
    state = json.loads(EQUIPPED.file(STATE).content_string)
    set_state(EQUIPPED, gpus=[{key: gpu[key] for key in ("name", "memory")} for gpu in state["gpus"]])
    assert converge("cuda2", tags="cuda_mig").rc == 0
    assert not EQUIPPED.file("/etc/systemd/system/z-image-turbo-mig.service").exists


@pytest.mark.usefixtures("whole")
def test_a_gpu_is_divided_as_declared_with_leave_alone_and_again_after_every_boot():
    halves = ["3g.40gb", "3g.40gb"]
    refused = divide(halves)
    assert refused.rc != 0
    assert (
        "is divided into one piece, and 3g.40gb, 3g.40gb is declared. Set cuda_mig_change_allowed"
        in refused.output
    )
    assert len(devices(EQUIPPED)) == 8

    divided = divide(halves, cuda_mig_change_allowed=True)
    assert divided.rc == 0, divided.output
    assert devices(EQUIPPED)[:2] == [("MIG 3g.40gb", "MIG-0-0"), ("MIG 3g.40gb", "MIG-0-1")]
    assert divide(halves).changed == {"cuda2": 0}

    state = json.loads(EQUIPPED.file(STATE).content_string)
    del state["gpus"][0]["mig"]
    set_state(EQUIPPED, gpus=state["gpus"])  # what a driver of a newer card forgets at a reboot
    EQUIPPED.check_output("systemctl start z-image-turbo-mig")
    assert EQUIPPED.service("z-image-turbo-mig").is_enabled
    assert devices(EQUIPPED)[1] == ("MIG 3g.40gb", "MIG-0-1")


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    ("profiles", "variables", "message"),
    [
        (["3g.20gb"], {}, "has no profile 3g.20gb. It offers at most 7 x 1g.10gb (9.75 GiB)"),
        (
            ["3g.40gb"],
            {"gpus": 8, "uses": "4711, python"},
            "is in use by 4711, python: stop what uses it first",
        ),
        (["3g.40gb"], {"gpus": 9}, "gpus is 9 in the inventory, and by cuda_mig the host has 8"),
    ],
    ids=["a profile that the card lacks", "a GPU in use", "another number"],
)
def test_a_division_that_cannot_be_is_refused_and_changes_no_gpu(profiles, variables, message):
    state = json.loads(EQUIPPED.file(STATE).content_string)
    if apps := variables.pop("uses", None):
        state["gpus"][0]["apps"] = [apps]
        set_state(EQUIPPED, gpus=state["gpus"])
    play = divide(profiles, cuda_mig_change_allowed=True, **variables)
    assert play.rc != 0
    assert message in play.output
    assert [model for model, _ in devices(EQUIPPED)] == ["NVIDIA H100 80GB HBM3"] * 8


def test_the_multi_process_service_runs_where_it_is_wanted_and_is_gone_where_not():
    wanted = converge("cuda1", tags="cuda_services", cuda_mps=True)
    assert wanted.rc == 0, wanted.output
    service = BARE.service("z-image-turbo-mps")
    assert service.is_running
    assert service.is_enabled
    assert converge("cuda1", tags="cuda_services", cuda_mps=True).changed == {"cuda1": 0}

    gone = converge("cuda1", tags="cuda_services")
    assert gone.rc == 0, gone.output
    assert not service.is_running
    assert not BARE.file("/etc/systemd/system/z-image-turbo-mps.service").exists


def test_a_driver_that_came_without_the_multi_process_service_is_named():
    play = converge("cuda2", tags="cuda_services", cuda_mps=True)
    assert play.rc != 0
    assert "the driver came without /usr/bin/nvidia-cuda-mps-control" in play.output


@pytest.fixture
def kernel():
    """Put something into the kernel's folder of a host, which is a stand-in until the end of the test."""
    folders = ("/sys/module", "/sys/firmware")

    def have(folder, path, command="mkdir -p %s"):
        PLAIN.check_output(
            f"mountpoint -q {folder} && umount {folder} || true; mount -t tmpfs tmpfs {folder}"
        )
        PLAIN.check_output(f"mkdir -p $(dirname {path})")
        PLAIN.check_output(command, path)

    yield have
    PLAIN.check_output("rm -f /usr/local/bin/mokutil")
    for folder in folders:
        PLAIN.run("while mount | grep -q '^tmpfs on %s '; do umount %s; done", folder, folder)


def test_nouveau_waits_for_a_reboot_and_nothing_is_changed_before(kernel):
    kernel("/sys/module", "/sys/module/nouveau")
    play = converge("cuda4", gpus=1)
    assert play.rc != 0
    assert "the driver nouveau is loaded, which only a reboot ends. Set cuda_reboot_allowed" in play.output
    assert "Pin the branch of the driver" not in play.output


def test_secure_boot_without_the_key_of_the_modules_is_refused_with_the_commands_that_enrol_it(kernel):
    variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    kernel("/sys/firmware", variable, command=r"printf '\006\000\000\000\001' >%s")
    refused = converge("cuda4", gpus=1)
    assert refused.rc != 0
    assert "mokutil --import /var/lib/dkms/mok.pub" in refused.output
    assert "Install what apt needs for the repository" not in refused.output

    PLAIN.check_output(
        "printf '#!/bin/sh\necho \"$2 is already enrolled\"\n' >/usr/local/bin/mokutil;"
        "chmod +x /usr/local/bin/mokutil"
    )
    trusted = converge("cuda4", gpus=1, cuda_disk_gb=1_000_000)
    assert "mokutil --import" not in trusted.output
    assert "1000000 GB" in trusted.output  # it went on, to the next thing that is refused


def test_debians_driver_is_installed_pinned_and_held_and_a_module_that_does_not_load_is_named():
    play = converge(
        "cuda4",
        gpus=1,
        cuda_driver_source="debian",
        cuda_driver_branch="535",
        cuda_kernel_modules="proprietary",
    )
    # A container has no kernel of its own to load a module into: everything before that is real.
    assert play.rc != 0
    assert "gpus is 1 in the inventory, and the kernel module is not loaded" in play.output
    assert "couldn't communicate with the NVIDIA driver" in play.output
    assert version(PLAIN, "nvidia-smi").startswith("535.")
    assert {"nvidia-smi", "nvidia-kernel-dkms", "libcuda1"} <= set(
        PLAIN.run("apt-mark showhold").stdout.split()
    )
