"""Faults of the gateway; that a second one takes over is tested by the scenario "virtual_ip"."""

import time

import fleet
import pytest


def test_nginx_is_reloaded_again_and_again(fault):
    with fault.users():
        fault.strikes()
        for _ in range(8):
            fleet.GATEWAY.check_output("systemctl reload nginx")
            time.sleep(1)
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []


def test_the_agent_is_killed_again_and_again(fault):
    with fault.users():
        fault.strikes()
        for _ in range(5):
            fleet.GATEWAY.check_output("systemctl kill --signal=KILL z-image-turbo-gateway")
            time.sleep(2)
        fault.over_when(fleet.whole, 60)
    assert fault.errors() == []


def test_the_gateway_reboots(fault):
    with fault.users():
        fault.strikes()
        fleet.podman("restart", "gw1")
        fault.over_when(fleet.whole, 60)
    assert fault.outage() < 40


def test_there_is_no_name_server_when_nginx_starts(fault):
    fleet.GATEWAY.check_output("cp /etc/resolv.conf /root/resolv.conf && : >/etc/resolv.conf")
    try:
        with fault.users():
            fault.strikes()
            fleet.GATEWAY.check_output("systemctl restart nginx")
            fault.over_when(fleet.whole, 30)
    finally:
        fleet.GATEWAY.check_output("cat /root/resolv.conf >/etc/resolv.conf")
    assert fault.outage() < 10


@pytest.mark.parametrize("folder", ["/var/cache/nginx", "/var/lib/nginx"])
def test_the_disk_of_the_gateway_is_full(fault, folder):
    with fault.users():
        fault.strikes()
        fleet.GATEWAY.check_output(f"mount -t tmpfs -o size=64k,mode=777 tmpfs {folder}")
        fleet.GATEWAY.run(f"dd if=/dev/zero of={folder}/filler bs=1k")
        time.sleep(10)
        fleet.GATEWAY.check_output(f"umount --lazy {folder}")
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []


def test_the_gateway_hangs_for_a_while(fault):
    with fault.users():
        fault.strikes()
        fleet.GATEWAY.check_output("pkill -STOP -x nginx")
        time.sleep(10)
        fleet.GATEWAY.check_output("pkill -CONT -x nginx")
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []
