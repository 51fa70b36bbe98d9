"""Wherever a model comes from, the same verified files arrive, and an interruption costs little."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.fetch import Order, look, place
from model_store.manifest import StoreError
from model_store.store import Store
from tests.store.lab_hub import COMMIT, NANO, NEXT, LabHub, get

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
SIZE = (NANO / TRANSFORMER).stat().st_size
MODEL_SIZE = sum(path.stat().st_size for path in NANO.rglob("*") if path.is_file())
Make = Callable[..., Order]


def source(kind: str, hub: LabHub) -> str:
    return {
        "Hugging Face": f"hf://lab/nano@{COMMIT}",
        "ModelScope": f"modelscope://lab/nano@{COMMIT}",
        "web server": f"{hub.url}/files/{COMMIT}",
        "folder": str(NANO),
    }[kind]


@pytest.fixture(params=["Hugging Face", "ModelScope", "web server", "folder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["Hugging Face", "ModelScope", "web server"])
def remote(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_source_gives_the_same_revision_with_every_file_verified(
    kind: str, hub: LabHub, order: Make
) -> None:
    wanted = order(source(kind, hub))
    found = get(wanted)
    revision = Store(wanted.root, wanted.name).folder / found.revision
    assert (found.new, found.revision) == (True, "e66a11dd8088")
    assert (
        subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=revision, check=False
        ).returncode
        == 0
    )
    assert not (revision / ".gitattributes").exists()


def test_what_is_there_already_is_not_fetched_again(kind: str, hub: LabHub, order: Make) -> None:
    get(order(source(kind, hub)))
    hub.faults()
    assert get(order(source(kind, hub))).new is False
    assert hub.sent() < 5_000  # at most the manifest of a web server


def test_a_pinned_commit_that_is_there_is_found_without_asking_anybody(hub: LabHub, order: Make) -> None:
    get(order())
    hub.faults()
    assert look(order()) is not None
    assert look(order(f"hf://lab/nano@{NEXT}")) is None
    assert hub.asked() == []


def test_a_connection_that_is_cut_again_and_again_goes_on_where_it_was_cut(
    remote: str, hub: LabHub, order: Make
) -> None:
    hub.faults(cut=1_000_000)
    assert get(order(source(remote, hub), patience=10)).new
    assert hub.sent() < MODEL_SIZE + 1_200_000  # a beginning anew would cost three times that
    assert (
        len([request for request in hub.asked(TRANSFORMER.split("/")[1]) if request["method"] == "GET"]) >= 4
    )


def test_a_source_that_dies_in_mid_file_is_named_and_the_next_run_finishes_without_starting_over(
    remote: str, hub: LabHub, order: Make
) -> None:
    hub.faults(die_after=2_500_000)
    with pytest.raises(StoreError, match="nothing has come for") as refusal:
        get(order(source(remote, hub)))
    assert place(order(source(remote, hub))) in str(refusal.value)
    assert str(refusal.value).startswith("gpu1: cannot get the model nano from ")
    came = len(list(Store(order().root, "nano").incoming.glob("*[0-9a-f]")))
    hub.faults()
    assert get(order(source(remote, hub))).new
    assert hub.sent() < MODEL_SIZE - 1_500_000
    files = {ask["path"] for ask in hub.asked("resolve") + hub.asked("FilePath") + hub.asked("/files/")}
    assert len(files - {f"/files/{COMMIT}/SHA256SUMS"}) <= 12 - came or remote == "web server"


def test_a_damaged_file_is_named_with_both_hashes_and_no_revision_is_made(
    remote: str, hub: LabHub, order: Make
) -> None:
    hub.faults(corrupt=TRANSFORMER)
    with pytest.raises(
        StoreError, match=rf"{TRANSFORMER}: the hash is .{{64}}, but it should be bf3198aa"
    ) as refusal:
        get(order(source(remote, hub)))
    assert "the source is damaged" in str(refusal.value)
    assert Store(order().root, "nano").revisions() == []


def test_a_small_file_of_the_hub_is_verified_by_its_git_hash(hub: LabHub, order: Make) -> None:
    hub.faults(corrupt="model_index.json")
    with pytest.raises(StoreError, match=r"model_index.json: the hash is .{40}, but"):
        get(order())


def test_a_source_that_is_not_there_is_named_with_what_was_tried(order: Make) -> None:
    dead = "http://127.0.0.1:9"
    for address in (f"hf://lab/nano@{COMMIT}", f"modelscope://lab/nano@{COMMIT}"):
        with pytest.raises(StoreError, match="Connection refused") as refusal:
            get(order(address, endpoint=dead, patience=0.5))
        assert f"{address} at {dead}" in str(refusal.value)
    with pytest.raises(StoreError, match="Connection refused"):
        get(order(f"{dead}/files", patience=0.5))


def test_a_slow_source_is_given_up_after_the_time_and_what_came_is_kept(
    remote: str, hub: LabHub, order: Make
) -> None:
    hub.faults(rate=500_000)
    with pytest.raises(StoreError, match=r"not done after 1 s \(model_store_timeout\)"):
        get(order(source(remote, hub), timeout=1, patience=1))
    assert Store(order().root, "nano").incoming.glob("*.part")
    hub.faults()
    assert get(order(source(remote, hub))).new


def test_a_gated_model_is_refused_without_its_token_which_goes_to_no_other_server(
    hub: LabHub, order: Make
) -> None:
    with pytest.raises(StoreError, match="set model_store_token"):
        get(order(f"hf://lab/gated@{COMMIT}"))
    assert get(order(f"hf://lab/gated@{COMMIT}", token=hub.token)).new
    assert {request["secret"] for request in hub.asked("/cdn/")} == {False}


def test_the_token_of_a_web_server_is_not_shown_to_the_server_that_it_points_to(
    hub: LabHub, order: Make
) -> None:
    assert get(order(f"{hub.url}/moved/{COMMIT}", token="secret")).new
    assert {request["secret"] for request in hub.asked("/moved/")} == {True}
    assert {request["secret"] for request in hub.asked("/cdn/")} == {False}


def test_a_commit_that_the_hub_does_not_know_is_refused_at_once(order: Make) -> None:
    with pytest.raises(StoreError, match=r"404.*Check the address and the revision"):
        get(order(f"hf://lab/nano@{'3' * 40}", patience=60))


# Not from Hugging Face: its small files have no SHA-256 before they are here, so it is refused afterwards.
@pytest.mark.parametrize("kind", ["ModelScope", "web server", "folder"])
def test_other_files_than_those_agreed_on_are_refused_before_they_are_fetched(
    kind: str, hub: LabHub, order: Make
) -> None:
    with pytest.raises(StoreError, match=r"model_store_sha256 is a{64}: these are other files"):
        get(order(source(kind, hub), sha256="a" * 64))
    assert hub.sent() < 5_000


def test_other_files_of_hugging_face_than_those_agreed_on_never_become_a_revision(order: Make) -> None:
    with pytest.raises(StoreError, match="these are other files"):
        get(order(sha256="a" * 64))
    assert Store(order().root, "nano").revisions() == []


def test_a_folder_without_a_manifest_is_refused_with_the_command_that_makes_one(
    tmp_path: Path, order: Make
) -> None:
    with pytest.raises(StoreError, match="sha256sum > SHA256SUMS"):
        get(order(str(tmp_path)))
