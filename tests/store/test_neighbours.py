"""Hosts hand a model on: one pull from the source, the rest among themselves, and only to each other."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_store.fetch import Found, Order
from model_store.manifest import StoreError
from model_store.neighbours import NeighbourServer
from model_store.store import Store
from tests.store.lab_hub import LabHub, get

Make = Callable[..., Order]


@contextmanager
def serving(store: Store, allowed: str = "127.0.0.1") -> Iterator[tuple[str, NeighbourServer]]:
    """Serve a store as a neighbour."""
    server = NeighbourServer(("127.0.0.1", 0), [allowed], store.blobs)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def seed(order: Make, tmp_path: Path) -> tuple[Found, Store]:
    """A host that has the model from its source."""
    root = str(tmp_path / "seed")
    return get(order(root=root)), Store(root, "nano")


def share(order: Make, found: Found, root: Path, peers: list[str], **more: object) -> Found:
    """Take the model from neighbours."""
    return get(order(root=str(root), peers=peers, manifest=found.manifest, sizes=found.sizes, **more))


def test_five_hosts_get_a_model_with_one_pull_from_the_source(
    hub: LabHub, order: Make, seed: tuple[Found, Store], tmp_path: Path
) -> None:
    found, first = seed
    hub.faults()
    stores = [first, *(Store(str(tmp_path / f"host{number}"), "nano") for number in range(4))]
    with ThreadPoolExecutor() as pool:
        servers = [serving(store) for store in stores]
        peers = [server.__enter__()[0] for server in servers]
        try:
            taken = list(
                pool.map(
                    lambda number: share(
                        order, found, tmp_path / f"host{number}", peers[: number + 1] + peers[number + 2 :]
                    ),
                    range(4),
                )
            )
        finally:
            for server in servers:
                server.__exit__(None, None, None)
    assert {one.revision for one in taken} == {found.revision}
    assert hub.asked() == []


def test_a_host_that_has_only_some_of_the_files_hands_those_on(
    order: Make, seed: tuple[Found, Store], tmp_path: Path
) -> None:
    found, first = seed
    half = Store(str(tmp_path / "half"), "nano")
    half.incoming.mkdir(parents=True)
    for sha256, path in list(first.blobs().items())[:6]:
        (half.incoming / sha256).write_bytes(path.read_bytes())
    with serving(half) as (one, _), serving(first) as (two, server):
        server.blobs = lambda: {
            sha256: path for sha256, path in first.blobs().items() if sha256 not in half.blobs()
        }
        assert share(order, found, tmp_path / "new", [one, two]).new


def test_a_damaged_neighbour_is_found_out_and_nothing_is_kept_of_it(
    order: Make, seed: tuple[Found, Store], tmp_path: Path
) -> None:
    found, first = seed
    (first.folder / found.revision / "model_index.json").write_text("x" * 399)
    with serving(first) as (peer, _), pytest.raises(StoreError, match=r"model_index\.json: the hash is"):
        share(order, found, tmp_path / "new", [peer])
    assert Store(str(tmp_path / "new"), "nano").revisions() == []


def test_a_neighbour_that_dies_in_mid_file_is_left_for_another_at_the_same_place(
    order: Make, seed: tuple[Found, Store], tmp_path: Path
) -> None:
    found, first = seed
    largest = max(first.blobs().items(), key=lambda item: item[1].stat().st_size)
    target = Store(str(tmp_path / "new"), "nano")
    target.incoming.mkdir(parents=True)
    content = largest[1].read_bytes()
    (target.incoming / f"{largest[0]}.part").write_bytes(content[:1_000_000])
    # Whoever began anew would get this and be found out.
    largest[1].write_bytes(b"x" + content[1:])
    with serving(first) as (peer, _):
        assert share(order, found, tmp_path / "new", ["127.0.0.1:9", peer]).new


def test_strangers_get_nothing_from_a_neighbour(seed: tuple[Found, Store]) -> None:
    _, first = seed
    sha256 = next(iter(first.blobs()))
    with serving(first, allowed="192.0.2.1") as (peer, _), pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://{peer}/{sha256}")


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/", "/.order.json", f"/{'0' * 64}"])
def test_a_neighbour_has_nothing_but_verified_files(seed: tuple[Found, Store], path: str) -> None:
    with serving(seed[1]) as (peer, _), pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{peer}{path}")


def test_neighbours_that_do_not_answer_are_named(
    order: Make, seed: tuple[Found, Store], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"from the neighbours \(127.0.0.1:9\): nothing has come"):
        share(order, seed[0], tmp_path / "new", ["127.0.0.1:9"], patience=0.5)


def test_what_a_host_has_survives_as_json(seed: tuple[Found, Store]) -> None:
    assert Found(**json.loads(json.dumps(seed[0].as_dict()))) == seed[0]
