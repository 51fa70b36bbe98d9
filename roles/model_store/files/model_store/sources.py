"""Where a model comes from: a folder, a web server or object store, ModelScope, Hugging Face."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from .manifest import NAME, File, StoreError, parse
from .transfer import CHUNK, Limits, RefusedError, download, get, get_text

HUB = re.compile(r"^(?P<kind>hf|modelscope)://(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)$")
COMMIT = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")
MODELSCOPE = "https://modelscope.cn"


class Source(Protocol):
    """What a source can do."""

    # A manifest that the source has written itself, to be kept as it is.
    manifest: str

    def listing(self) -> list[File]:
        """Return the files of the model."""

    def sized(self, files: list[File]) -> list[File]:
        """Return the files with their sizes, as far as the source tells them."""

    def fetch(self, file: File, part: Path) -> None:
        """Complete the partial file."""


class FolderSource:
    """A folder with a file SHA256SUMS."""

    def __init__(self, folder: str, limits: Limits, *, move: bool) -> None:
        """Look at nothing yet. With `move` the folder is on the disk of the store and is given up for it."""
        self.folder, self.limits, self.move, self.manifest = Path(folder), limits, move, ""

    def listing(self) -> list[File]:
        """Return the files of the manifest."""
        try:
            self.manifest = (self.folder / NAME).read_text()
        except OSError as error:
            raise StoreError(
                f"there is no readable file {NAME} ({error.strerror}). Make one in the folder of the model "
                f"with: find . -type f ! -name {NAME} -printf '%P\\0' | sort -z | xargs -0 sha256sum > {NAME}"
            ) from error
        return parse(self.manifest)

    def sized(self, files: list[File]) -> list[File]:
        """Return the files with their sizes."""
        try:
            return [File(file.path, (self.folder / file.path).stat().st_size, file.sha256) for file in files]
        except OSError as error:
            raise StoreError(f"{NAME} names {error.filename}, but: {error.strerror}") from error

    def fetch(self, file: File, part: Path) -> None:
        """Copy what is missing of a file, or move all of it."""
        try:
            if self.move:
                (self.folder / file.path).rename(part)
                return
            with (self.folder / file.path).open("rb") as source, part.open("ab") as target:
                source.seek(target.tell())
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    self.limits.check()
        except OSError as error:
            raise StoreError(f"{file.path}: {error.strerror}") from error


class WebSource:
    """A web server or object store that has the files and SHA256SUMS below one address."""

    def __init__(self, url: str, token: str, limits: Limits) -> None:
        """Look at nothing yet."""
        self.url, self.limits, self.manifest = url.rstrip("/"), limits, ""
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def address(self, path: str) -> str:
        """Return the address of a file."""
        return f"{self.url}/{quote(path)}"

    def listing(self) -> list[File]:
        """Return the files of the manifest."""
        self.manifest = get_text(self.address(NAME), self.headers, self.limits)
        return parse(self.manifest)

    def sized(self, files: list[File]) -> list[File]:
        """Return the files with their sizes, as the server tells them."""
        sized = []
        for file in files:
            try:
                with get(self.address(file.path), self.headers, self.limits, "HEAD") as answer:
                    length = answer.headers.get("Content-Length")
            except (RefusedError, OSError):
                length = None
            sized.append(File(file.path, int(length) if length else None, file.sha256))
        return sized

    def fetch(self, file: File, part: Path) -> None:
        """Complete the partial file."""
        download(self.address(file.path), part, file.size, self.headers, self.limits)


class ModelScopeSource:
    """A repository of ModelScope, by its HTTP interface, which has a SHA-256 for each file."""

    def __init__(self, repo: str, revision: str, endpoint: str, token: str, limits: Limits) -> None:
        """Look at nothing yet."""
        self.api, self.revision = (
            f"{(endpoint or MODELSCOPE).rstrip('/')}/api/v1/models/{repo}/repo",
            revision,
        )
        self.limits, self.manifest = limits, ""
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def listing(self) -> list[File]:
        """Return the files of the revision."""
        query = urlencode({"Revision": self.revision, "Recursive": "true"})
        url = f"{self.api}/files?{query}"
        text = get_text(url, self.headers, self.limits)
        try:
            files = [
                File(item["Path"], int(item["Size"]), item["Sha256"])
                for item in json.loads(text)["Data"]["Files"]
                if item["Type"] == "blob"
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{url} answers {text[:200]!r}, which is no list of files") from error
        unverifiable = [file.path for file in files if not file.sha256]
        if unverifiable:
            raise StoreError(f"{url} has no Sha256 for {unverifiable[0]}")
        return files

    def sized(self, files: list[File]) -> list[File]:
        """Return the files as they are: the listing has sizes."""
        return files

    def fetch(self, file: File, part: Path) -> None:
        """Complete the partial file."""
        query = urlencode({"Revision": self.revision, "FilePath": file.path})
        download(f"{self.api}?{query}", part, file.size, self.headers, self.limits)


def make(source: str, endpoint: str, token: str, limits: Limits, *, move: bool = False) -> Source:
    """Return the source that an address means."""
    hub = HUB.match(source)
    if hub and hub["kind"] == "hf":
        from .hub import HubSource  # noqa: PLC0415 - needs a package that the others do not

        return HubSource(hub["repo"], hub["revision"], endpoint, token, limits)
    if hub:
        return ModelScopeSource(hub["repo"], hub["revision"], endpoint, token, limits)
    if source.startswith(("http://", "https://")):
        return WebSource(source, token, limits)
    if source.startswith("/"):
        return FolderSource(source, limits, move=move)
    raise StoreError(
        f"model_store_source is {source!r}: it must be a folder, http(s)://<address>, "
        f"hf://<owner>/<name>@<commit> or modelscope://<owner>/<name>@<commit>"
    )


def pinned(source: str) -> bool:
    """Tell whether what the address means can never change."""
    hub = HUB.match(source)
    return bool(hub and COMMIT.match(hub["revision"]))


def next_step(error: RefusedError) -> str:
    """Say what to do about a server's refusal."""
    if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "It may be gated or private: accept its terms with your account, and set model_store_token."
    return "Check the address and the revision in model_store_source."
