"""What is quick enough for every run of the tests, on the hosts of the scenario "site".

A broken release, one restart, and a picture at every door, while people draw.
"""

import shutil

import fleet
import lab
import measured
import pytest

SITE = "gateways:gpu"
WHOLE_SECONDS = 150
BROKEN = "import sys\nsys.exit('this release does not work')\n"


@pytest.fixture
def change(request):
    """Begin with a service that is whole."""
    lab.wait_until(fleet.whole, WHOLE_SECONDS)
    return measured.Measured(request.node.name.removeprefix("test_"), fleet.URL)


def changed(before):
    """Return the instances that have another process than before."""
    return [name for name, process in fleet.pids().items() if process != before[name]]


def assert_nobody_noticed(change):
    """Every request had its picture."""
    failed = [one for one in change.tries if one.error]
    assert not failed, failed


def test_a_broken_release_is_refused_and_nobody_notices(change, tmp_path):
    before = fleet.pids()
    source = shutil.copytree(lab.ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "app.py").write_text(BROKEN)
    with change.users():
        upgrade = lab.play(
            "playbooks/upgrade.yml", SITE, tags="z_image_turbo,always", z_image_turbo_source=str(source)
        )
        assert fleet.whole()
    assert upgrade.rc != 0
    assert "this release does not work" in upgrade.output
    assert "The previous instances were put back" in upgrade.output
    assert changed(before) == ["gpu1-a"]
    assert_nobody_noticed(change)


def test_a_restart_concerns_the_instance_that_is_named_and_nobody_notices(change):
    before = fleet.pids()
    with change.users():
        restart = lab.play("playbooks/restart.yml", SITE, target="gpu2-a")
        assert fleet.whole()
    assert restart.rc == 0, restart.output
    assert changed(before) == ["gpu2-a"]
    assert_nobody_noticed(change)


def test_a_picture_comes_from_every_door():
    smoke = lab.play("playbooks/smoke.yml", SITE)
    assert smoke.rc == 0, smoke.output
    doors = {line.split()[1] for line in smoke.output.splitlines() if " right " in line}
    assert doors == {*fleet.INSTANCES, "gw1"}, smoke.output
