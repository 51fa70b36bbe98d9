"""Changes that are interrupted or fail, with a stub: the subject is what becomes of the service."""

import hashlib
import shutil

import lab
import pytest
import service
from killing import STUB, assert_well, kill_and_repeat, kill_when, stub, upgrade

PROGRAM = (STUB / "app.py").read_text()
BLANK = PROGRAM.replace("random.randbytes(3 * width)", "bytes(3 * width)")
HANGS = PROGRAM.replace("START_SECONDS = 1.0", "START_SECONDS = 1e9")
READY_SECONDS = 20  # in which the stub is ready, also where all share two cores with others
REFUSES = "import os, sys\nif os.path.exists('/run/no-new-release'):\n    sys.exit('not here')\n"


@pytest.fixture(scope="module", autouse=True)
def the_stub(tmp_path_factory):
    """Have the service run the stub."""
    play = upgrade(stub(tmp_path_factory.mktemp("stub"), "stub"))
    assert play.rc == 0, play.output
    assert_well("the stub")


def test_an_upgrade_that_was_killed_at_any_moment_is_finished_by_the_next_run(tmp_path):
    assert kill_and_repeat(tmp_path, 3) > 0


def test_a_release_whose_pictures_are_of_one_colour_is_refused(tmp_path):
    before = service.the_release()
    refused = upgrade(stub(tmp_path, "blank", BLANK))
    assert refused.rc != 0
    assert "ops1-a draws no right picture: the picture is of one colour" in " ".join(refused.output.split())
    assert service.the_release() == before
    assert_well("after the refusal")


def test_what_served_before_is_put_back_even_when_the_run_that_replaced_it_was_killed(tmp_path):
    before = service.the_release()
    hangs = stub(tmp_path, "hangs", HANGS)
    assert kill_when(lambda: not service.condition("ops1-a"), hangs)
    refused = upgrade(hangs, z_image_turbo_ready_timeout=READY_SECONDS)
    assert refused.rc != 0
    assert service.the_release() == before
    assert_well("after the refusal")


def test_a_rollback_takes_back_an_upgrade_that_was_killed(tmp_path):
    before = service.the_release()
    assert kill_when(lambda: not service.condition("ops1-a"), stub(tmp_path, "hangs-too", HANGS))
    rollback = service.play("rollback")
    assert rollback.rc == 0, rollback.output
    assert service.the_release() == before
    assert_well("after the rollback")
    assert service.play("rollback").rc == 0
    assert service.the_release() == before


def test_a_new_model_reaches_every_instance_and_the_way_back_leads_to_the_old_one(tmp_path):
    model = shutil.copytree(lab.ROOT / "models/nano", tmp_path / "model")
    (model / "note.txt").write_text("another model")
    sums = model / "SHA256SUMS"
    digest = hashlib.sha256(b"another model").hexdigest()
    sums.write_text(f"{sums.read_text()}{digest}  note.txt\n")
    before = {service.condition(instance)["model"] for instance in service.INSTANCES}
    upgraded = service.play(
        "upgrade",
        z_image_turbo_source=stub(tmp_path, "same"),
        model_store_source=str(model),
        model_store_source_on_host=False,
    )
    assert upgraded.rc == 0, upgraded.output
    after = {service.condition(instance)["model"] for instance in service.INSTANCES}
    assert after != before
    assert len(after) == 1
    rollback = service.play("rollback")
    assert rollback.rc == 0, rollback.output
    assert {service.condition(instance)["model"] for instance in service.INSTANCES} == before
    assert_well("after the rollback")


def test_a_host_that_fails_beside_another_one_leaves_that_one_in_service(tmp_path):
    before = service.releases()
    service.HOSTS["ops2"].check_output("touch /run/no-new-release")
    try:
        refused = upgrade(stub(tmp_path, "not-on-one", REFUSES + PROGRAM), rollout_serial=2)
    finally:
        service.HOSTS["ops2"].check_output("rm /run/no-new-release")
    assert refused.rc != 0
    assert "not here" in refused.output
    after = service.releases()
    assert [after[name] for name in ("ops2-a", "ops2-b")] == [before[name] for name in ("ops2-a", "ops2-b")]
    assert after["ops1-a"] == after["ops1-b"] is not None
    lab.wait_until(service.all_in)
    assert service.left_behind() == []
