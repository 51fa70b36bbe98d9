"""A repository of Hugging Face or of a mirror, by its own client library."""

from __future__ import annotations

import io
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .manifest import File, StoreError
from .transfer import FINAL, Limits, Patience, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "https://huggingface.co"
CHUNK = 2**18


class TimedFile(io.FileIO):
    """A partial file that takes no more once the time is over."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open the file at its end."""
        super().__init__(path, "ab")
        self.limits = limits

    def write(self, data: Any) -> int:  # noqa: ANN401 - what the base class takes
        """Write a chunk."""
        self.limits.check()
        return super().write(data)


class HubSource:
    """One commit of a repository.

    The library lists, signs and follows; the partial file is ours, because `hf_hub_download` of this library
    begins a file anew in each process. Xet is off for the same reason: it cannot go on in mid-file.
    """

    def __init__(self, repo: str, revision: str, endpoint: str, token: str, limits: Limits) -> None:
        """Load the library; look at nothing yet."""
        os.environ.update(
            HF_HUB_DISABLE_XET="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            HF_HUB_DOWNLOAD_TIMEOUT=str(int(limits.socket_timeout)),
        )
        os.environ.pop("HF_HUB_OFFLINE", None)
        try:
            from huggingface_hub import HfApi, constants  # noqa: PLC0415 - it reads its settings as it is imported
            from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415
        except ImportError as error:
            raise StoreError(
                "the Python in use has no huggingface_hub: run the role pytorch first, "
                "or set model_store_python to a Python which has it"
            ) from error
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # what a cut connection costs; the library's own is 10 MB
        self.repo, self.revision, self.limits, self.manifest = repo, revision, limits, ""
        self.endpoint = (endpoint or ENDPOINT).rstrip("/")
        # False: never a token that somebody has left in a home directory.
        self.api = HfApi(endpoint=self.endpoint, token=token or False)
        self.headers = build_hf_headers(token=token or False)

    def listing(self) -> list[File]:
        """Return the files of the commit."""
        patience = Patience(self.limits)
        while True:
            try:
                info = self.api.model_info(
                    self.repo,
                    revision=self.revision,
                    files_metadata=True,
                    timeout=self.limits.socket_timeout,
                )
                break
            except Exception as error:  # noqa: BLE001 - the library's errors have no common base
                patience.wait(0, self.explain(error, f"{self.endpoint}/api/models/{self.repo}"))
        self.revision = info.sha or self.revision
        return [
            File(
                item.rfilename,
                item.lfs.size if item.lfs else item.size,
                item.lfs.sha256 if item.lfs else "",
                "" if item.lfs else item.blob_id or "",
            )
            for item in info.siblings or []
        ]

    def sized(self, files: list[File]) -> list[File]:
        """Return the files as they are: the listing has sizes."""
        return files

    def fetch(self, file: File, part: Path) -> None:
        """Complete the partial file."""
        from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as above
        from huggingface_hub.file_download import http_get  # noqa: PLC0415

        url = hf_hub_url(self.repo, file.path, revision=self.revision, endpoint=self.endpoint)
        patience = Patience(self.limits)
        while True:
            self.limits.check()
            try:
                with io.BufferedWriter(TimedFile(part, self.limits)) as target:
                    http_get(
                        url,
                        target,
                        resume_size=target.tell(),
                        headers=self.headers,
                        expected_size=file.size,
                    )
            except Exception as error:  # noqa: BLE001 - the library's errors have no common base
                patience.wait(part.stat().st_size, self.explain(error, url))
            else:
                return

    @staticmethod
    def explain(error: Exception, url: str) -> str:
        """Return what is wrong with a server for now; raise when it has said no."""
        if isinstance(error, StoreError):
            raise error
        response = getattr(error, "response", None)
        if response is None:
            return f"{url} does not answer ({error or type(error).__name__})"
        if response.status_code in FINAL:
            word = response.headers.get("X-Error-Code", "")
            raise RefusedError(url, response.status_code, word) from error
        return f"{url} answers {response.status_code} {HTTPStatus(response.status_code).phrase}"
