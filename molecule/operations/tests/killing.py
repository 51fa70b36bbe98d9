"""Runs that are killed at random moments, each followed by one that has to end well."""

import random
import shutil
import time

import lab
import service

STUB = lab.ROOT / "molecule/operations/stub"
SEED = 6


def upgrade(source, **variables):
    """Have the service run a release of the stub; its environment and its model stay."""
    return lab.play(
        "playbooks/upgrade.yml",
        "",
        inventory=service.INVENTORY,
        tags="z_image_turbo,always",
        z_image_turbo_source=source,
        **variables,
    )


def stub(tmp_path, name, program=None):
    """Make a release of the stub."""
    return service.release(tmp_path, name, app=STUB, program=program)


def kill_when(condition, source):
    """Begin an upgrade and kill it when a condition is true; tell whether that was before its end."""
    return lab.kill_when(
        condition, "playbooks/upgrade.yml", inventory=service.INVENTORY, z_image_turbo_source=source
    )


def kill_and_repeat(tmp_path, times):
    """Kill as many upgrades, each to a release of its own; return how many were killed before their end."""
    began = time.monotonic()
    assert upgrade(stub(tmp_path, "first")).rc == 0
    whole, moments, killed = time.monotonic() - began, random.Random(SEED), 0
    for number in range(times):
        source, before = stub(tmp_path, f"killed-{number}"), service.the_release()
        moment = time.monotonic() + moments.uniform(0, whole)
        killed += kill_when(lambda moment=moment: time.monotonic() > moment, source)
        again = upgrade(source)
        assert again.rc == 0, again.output
        assert_well(number)
        assert service.the_release() != before
        shutil.rmtree(source)
    return killed


def assert_well(about):
    """All instances serve with one release, none is out of service, and nothing is under way."""
    assert service.the_release(), about
    assert service.all_in(), (about, service.gateway_view())
    assert service.left_behind() == [], about
