"""Faults of hosts, of what supervises them, and of their disks."""

import time

import fleet
import lab
import pytest

LOAD_SECONDS = 180  # in which an instance starts, also where all share two cores with others
STOP_SECONDS = (
    150  # TimeoutStopSec: where the kernel does not say that the last process is gone, systemd waits
)
DOWN_SECONDS = 20
LOGS = "/var/log/z-image-turbo"
LOOP = "'^/usr/bin/python3 -I .*-health [l]oop'"


def told_to_come_back(fault):
    """Tell whether errors were few and in words: a request tries two instances, and both may be leaving."""
    return len(fault.errors()) <= 12 and all(" 503 " in error for error in fault.errors())


def test_supervisor_is_killed(fault):
    before = fleet.pids()
    with fault.users():
        fault.strikes()
        fleet.GPU1.check_output("systemctl kill --kill-who=main --signal=KILL supervisor")
        fault.over_when(
            lambda: (
                all(fleet.pid(name) not in {"", before[name]} for name in before if name.startswith("gpu1"))
                and fleet.whole()
            ),
            STOP_SECONDS + 2 * LOAD_SECONDS,
        )
    assert told_to_come_back(fault)
    assert fleet.GPU1.check_output("pgrep --count --full '[a]pp.py --port'") == "3"


def test_the_health_check_hangs(fault):
    with fault.users():
        fault.strikes()
        fleet.GPU1.check_output(f"pkill -STOP -f {LOOP}")
        lab.wait_until(lambda: not fleet.checked("gpu1", 20))
        fault.over_when(lambda: fleet.checked("gpu1", 10), 200)
    assert fault.errors() == []


def test_a_gpu_host_loses_its_power(fault):
    with fault.users():
        fault.strikes()
        fleet.podman("kill", "gpu2")
        lab.wait_until(lambda: "gpu2-a" not in fleet.in_service())
        fleet.podman("start", "gpu2")
        fault.over_when(fleet.whole, 2 * LOAD_SECONDS)
    assert len(fault.errors()) <= 2  # what it was drawing: nobody tells the gateway that it never comes


def test_a_gpu_host_is_cut_off(fault):
    before = fleet.pids()
    with fault.users():
        fault.strikes()
        fleet.GPU2.check_output("ip link set eth0 down")
        try:
            lab.wait_until(lambda: "gpu2-a" not in fleet.in_service())
            time.sleep(DOWN_SECONDS)
        finally:
            fleet.GPU2.check_output("ip link set eth0 up")
        fault.over_when(fleet.whole, 60)
    assert fault.errors() == []
    assert fleet.pids() == before


def test_the_answers_of_a_gpu_host_get_lost(fault):
    before = fleet.pids()
    gateway = lab.address("gw1")
    with fault.users():
        fault.strikes()
        fleet.GPU2.check_output(f"ip route add blackhole {gateway}/32")
        try:
            lab.wait_until(lambda: "gpu2-a" not in fleet.in_service())
            time.sleep(DOWN_SECONDS)
        finally:
            fleet.GPU2.check_output(f"ip route del blackhole {gateway}/32")
        fault.over_when(fleet.whole, 60)
    assert fault.errors() == []
    assert fleet.pids() == before


@pytest.fixture
def full():
    """Have a folder of a host be on a disk of its own that is full; take it away after the test."""
    mounted = []

    def fill(host, folder, owner="root"):
        host.check_output(f"mount -t tmpfs -o size=1m,mode=755,uid=$(id -u {owner}) tmpfs {folder}")
        mounted.append((host, folder))
        host.run(f"dd if=/dev/zero of={folder}/filler bs=64k")
        assert host.run(f"touch {folder}/x && head -c 100000 /dev/zero >{folder}/x").rc != 0

    yield fill
    for host, folder in mounted:
        host.run(f"umount --lazy {folder}")


def test_the_disk_of_the_logs_is_full(fault, full):
    reopen = "systemctl kill --kill-who=main --signal=USR2 supervisor"
    with fault.users():
        full(fleet.GPU1, LOGS)
        fault.strikes()
        fleet.GPU1.check_output(reopen)
        time.sleep(DOWN_SECONDS)
        fleet.GPU1.check_output(f"umount --lazy {LOGS}; {reopen}")
        fault.over_when(fleet.whole, 2 * LOAD_SECONDS)
    # Supervisor ends when it cannot write the rest of a log that it has to close; systemd brings it back.
    assert told_to_come_back(fault)


def test_the_disk_of_the_pages_pictures_is_full(fault, full):
    before = fleet.pids()
    with fault.users():
        full(fleet.GPU2, "/var/lib/z-image-turbo/files/gpu2", "z-image-turbo")
        fault.strikes()
        time.sleep(DOWN_SECONDS)
        fleet.GPU2.check_output("rm /var/lib/z-image-turbo/files/gpu2/filler")
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []
    assert fleet.pids() == before


def test_the_disk_is_full_when_an_instance_hangs(fault, full):
    before = fleet.pids()
    with fault.users():
        full(fleet.GPU2, "/var/lib/prometheus/node-exporter")
        full(fleet.GPU2, LOGS)
        fault.strikes()
        fleet.kill("STOP", "gpu2-a")
        fault.over_when(fleet.replaced("gpu2-a", before), 2 * LOAD_SECONDS)
    assert fault.errors() == []


def test_logs_are_rotated_again_and_again(fault):
    def lines():
        return int(fleet.GATEWAY.check_output("zcat -f /var/log/nginx/access.log* | grep -c txt2img"))

    before, pids = lines(), fleet.pids()
    with fault.users({"script": 3}):
        fault.strikes()
        for _ in range(5):
            fleet.GATEWAY.check_output("logrotate --force /etc/logrotate.d/nginx")
            fleet.GPU1.check_output("logrotate --force /etc/logrotate.d/z-image-turbo")
            time.sleep(2)
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []
    assert fleet.pids() == pids
    assert lines() - before == len(fault.tries)  # no line is lost
