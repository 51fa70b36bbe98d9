"""Bring a model into the store, and tell how far it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import neighbours, sources
from .manifest import IDENTITY_DIGITS, File, StoreError, choose, identity, parse, sha256_of_text, size_text
from .store import DamagedError, Store, files_of, manifest_of, remember
from .transfer import Limits, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = 2


@dataclass
class Order:
    """What a host is to have, and from where; sizes in bytes, times in seconds."""

    host: str
    root: str
    name: str
    source: str
    endpoint: str = ""
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    exclude: list[str] = field(default_factory=list)
    move: bool = False
    sha256: str = ""
    connections: int = 4
    reserve: int = 0
    patience: float = 60
    timeout: float = 4 * 3600
    peers: list[str] = field(default_factory=list)
    manifest: str = ""
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What identifies the files: only an address that always means the same ones does."""
        if not sources.pinned(self.source):
            return ""
        return " ".join([self.source, *(f"-{pattern}" for pattern in self.exclude)])


@dataclass
class Found:
    """A revision on this host, and whether it is new."""

    revision: str
    manifest: str
    sizes: dict[str, int]
    new: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def look(order: Order) -> Found | None:
    """Return what is here already of what is ordered, without asking anybody."""
    store = Store(order.root, order.name)
    name = identity(order.manifest) if order.manifest else order.sha256[:IDENTITY_DIGITS]
    revision = store.find(name=name, origin="" if name else order.origin)
    return describe(revision) if revision else None


def room(order: Order) -> int:
    """Return how many bytes may still come onto the disk of the store."""
    folder = Path(order.root)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free - order.reserve


def describe(revision: Path, *, new: bool = False) -> Found:
    """Return what is known of a complete revision."""
    manifest = (revision / "SHA256SUMS").read_text()
    sizes = {file.path: (revision / file.path).stat().st_size for file in files_of(revision)}
    return Found(revision.name, manifest, sizes, new)


def fetch(order: Order, say: Callable[[str], None]) -> Found:
    """Bring the model into the store; what came in an earlier attempt is not fetched again."""
    try:
        return bring(order, say)
    except RefusedError as error:
        raise StoreError(f"{complaint(order)}: {error}. {sources.next_step(error)}") from error
    except StoreError as error:
        raise StoreError(f"{complaint(order)}: {error}") from error
    except OSError as error:
        raise StoreError(f"{complaint(order)}: {error}. What has come is kept; run again to go on") from error


def complaint(order: Order) -> str:
    """Begin the message of a failure."""
    return f"{order.host}: cannot get the model {order.name} from {place(order)}"


def place(order: Order) -> str:
    """Say where the model comes from."""
    if order.peers:
        return f"the neighbours ({', '.join(order.peers)})"
    return f"{order.source} at {order.endpoint}" if order.endpoint else order.source


def bring(order: Order, say: Callable[[str], None]) -> Found:
    """Ask the source what there is, fetch what is missing, verify all of it, and make a revision of it."""
    limits = Limits(order.patience, order.timeout)
    store = Store(order.root, order.name)
    store.incoming.mkdir(parents=True, exist_ok=True)
    source: sources.Source
    if order.peers:
        known = [File(file.path, order.sizes.get(file.path), file.sha256) for file in parse(order.manifest)]
        source = neighbours.NeighbourSource(known, order.peers, limits)
    else:
        source = sources.make(order.source, order.endpoint, order.token, limits, move=order.move)
    say("asking what there is")
    files = choose(source.listing(), order.exclude)
    files = store.reuse(files)
    manifest = order.manifest or source.manifest
    if all(file.sha256 for file in files):
        manifest = order.manifest or manifest_of(files, manifest)
        check_pin(order, manifest)
        here = store.find(name=identity(manifest))
        if here:
            remember(here, order.origin)
            shutil.rmtree(store.incoming)
            return describe(here)
    files = source.sized(files)
    if not order.move:
        store.check_room(files, order.reserve)
    with progress(order, store, files, say):
        files = fetch_all(store, source, files, order.connections)
    manifest = order.manifest or manifest_of(files, manifest)
    check_pin(order, manifest)
    here = store.find(name=identity(manifest))
    return describe(here or store.assemble(manifest, order.origin), new=not here)


def check_pin(order: Order, manifest: str) -> None:
    """Refuse files that are not those which the inventory names."""
    found = sha256_of_text(manifest)
    if order.sha256 and found != order.sha256:
        raise StoreError(
            f"its manifest has the SHA-256 {found}, but model_store_sha256 is {order.sha256}: "
            f"these are other files than those which were agreed on"
        )


def fetch_all(store: Store, source: sources.Source, files: list[File], connections: int) -> list[File]:
    """Fetch and verify the files, several at once; return them with their hashes."""
    missing = {
        store.part(file): file for file in store.missing(files)
    }  # content that is there twice comes once
    with ThreadPoolExecutor(connections) as pool:
        futures = {part: pool.submit(fetch_one, store, source, file) for part, file in missing.items()}
        try:
            came = {part: future.result().sha256 for part, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [replace(file, sha256=came.get(store.part(file), file.sha256)) for file in files]


def fetch_one(store: Store, source: sources.Source, file: File) -> File:
    """Fetch and verify a file; a damaged one is fetched once more, from its beginning."""
    for attempt in range(1, ATTEMPTS + 1):
        part = store.part(file)
        part.touch()
        source.fetch(file, part)
        try:
            return store.accept(file)
        except DamagedError as error:
            if attempt == ATTEMPTS:
                raise StoreError(f"{error} (fetched {ATTEMPTS} times): the source is damaged") from error
    raise AssertionError


class progress:  # noqa: N801 - a context manager, used like a function
    """Say once a second how far it is."""

    def __init__(self, order: Order, store: Store, files: list[File], say: Callable[[str], None]) -> None:
        """Start with what is here."""
        self.place, self.store, self.files, self.say = place(order), store, files, say
        self.total = sum(file.size or 0 for file in files)
        self.begun, self.first = time.monotonic(), store.came(files)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> None:
        """Begin to talk."""
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        """End it."""
        self.stop.set()
        self.thread.join()

    def run(self) -> None:
        """Say how far it is, again and again."""
        while not self.stop.is_set():
            came = self.store.came(self.files)
            speed = (came - self.first) / max(time.monotonic() - self.begun, 0.1)
            share = f" ({100 * came // self.total} %)" if self.total else ""
            how_far = f"{size_text(came)} of {size_text(self.total)}{share}, {size_text(speed)}/s"
            self.say(f"{how_far}, from {self.place}")
            self.stop.wait(1)


def read_order(path: str) -> Order:
    """Return the order in a file, and remove the file, for it may hold a token; `-` is the standard input."""
    if path == "-":
        return Order(**json.load(sys.stdin))
    order = Order(**json.loads(Path(path).read_text()))
    Path(path).unlink()
    os.environ.update(order.environment)
    return order
