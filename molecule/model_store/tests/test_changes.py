"""A new revision, the way back, and what is refused; the model in use stays in every case."""

import lab
import testinfra
from conftest import COMMIT, NEXT, converge

STORE3 = testinfra.get_host(lab.hosts("model_store")[2])
CURRENT = "/var/lib/z-image-turbo/models/z-image-turbo/current"


def readme():
    """Return a file of the model in use."""
    return STORE3.file(f"{CURRENT}/README.md").content_string


def test_an_upgrade_keeps_the_old_revision_and_the_way_back_asks_nobody(hub):
    before = readme()
    upgrade = converge("store3", commit=NEXT)
    assert upgrade.rc == 0, upgrade.output
    assert readme() == "another text\n"
    hub.faults()
    assert converge("store3", commit=COMMIT).rc == 0
    assert readme() == before
    assert hub.asked() == []


def test_a_damaged_source_is_named_with_file_and_hashes_and_is_not_put_to_use(hub):
    hub.faults(corrupt="vae/config.json")
    play = converge("store3", name="damaged")
    assert play.rc != 0
    assert "vae/config.json: the hash is" in play.output
    assert not STORE3.file(CURRENT.replace("z-image-turbo/current", "damaged/current")).exists


def test_a_disk_that_is_too_small_is_refused_with_the_numbers_before_anything_is_fetched(hub):
    STORE3.check_output(
        "mkdir -p /small && { mountpoint -q /small || mount -t tmpfs -o size=4m tmpfs /small; }"
    )
    play = converge("store3", model_store_root="/small", model_store_reserve_mb=1)
    assert play.rc != 0
    assert "5.2 MB, and 1.0 MB is to stay free" in " ".join(play.output.split())
    assert hub.asked("/cdn/") == []


def test_a_source_that_does_not_answer_is_named_with_the_time_that_it_was_given():
    play = converge("store3", kind="modelscope", commit=NEXT, model_store_endpoint="http://hub1:9")
    assert play.rc != 0
    said = " ".join(play.output.split())
    assert "store3: cannot get the model z-image-turbo from modelscope://lab/nano@222" in said
    assert "nothing has come for 5 s" in said


def test_a_branch_is_refused_for_it_can_mean_other_files_tomorrow():
    play = converge("store3", commit="main")
    assert play.rc != 0
    assert "ends in no commit" in " ".join(play.output.split())
