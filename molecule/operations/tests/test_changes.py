"""Upgrade, its failure and the way back, while users go on with the real application."""

import pytest
import service

BROKEN = "import sys\nsys.exit('this release does not work')\n"


pytestmark = pytest.mark.usefixtures("the_application")


def test_an_upgrade_reaches_every_instance_and_nobody_notices(tmp_path, change):
    before = service.the_release()
    with change.under_load():
        upgrade = service.play("upgrade", z_image_turbo_source=service.release(tmp_path, "new"))
    assert upgrade.rc == 0, upgrade.output
    assert service.the_release() != before
    assert service.left_behind() == []
    change.assert_nobody_noticed()


def test_the_way_back_reaches_every_instance_and_nobody_notices(change):
    before = service.the_release()
    with change.under_load():
        rollback = service.play("rollback")
    assert rollback.rc == 0, rollback.output
    after = service.the_release()
    assert after != before
    assert service.left_behind() == []
    change.assert_nobody_noticed()

    again = service.play("rollback")
    assert again.rc == 0, again.output
    assert set(again.changed.values()) == {0}
    assert service.the_release() == after


def test_a_broken_release_is_refused_and_what_served_before_serves_and_nobody_notices(tmp_path, change):
    before, processes = service.the_release(), service.pids()
    with change.under_load():
        upgrade = service.play(
            "upgrade",
            tags="z_image_turbo,always",
            z_image_turbo_source=service.release(tmp_path, "broken", program=BROKEN),
        )
    assert upgrade.rc != 0
    assert "this release does not work" in upgrade.output
    assert "The previous instances were put back" in upgrade.output
    assert service.the_release() == before
    assert [name for name, process in service.pids().items() if process != processes[name]] == ["ops1-a"]
    assert service.left_behind() == []
    change.assert_nobody_noticed()
