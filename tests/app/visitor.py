"""Somebody in front of the page, without a browser: the same requests, by hand."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

FIELDS = {"prompt": "a cat", "width": 128, "height": 128, "count": 1, "seed": 1, "steps": 2, "strength": 0.5}
END = "process_completed"


class Visitor:
    """One tab: it has a session of its own."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.session = uuid.uuid4().hex
        self.client = httpx.Client(base_url=url, headers=headers, timeout=60)
        config = self.client.get("/config").json()
        self._names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self._calls = {
            self._names.get(target): call
            for call in config["dependencies"]
            if call["backend_fn"]
            for target, _ in call["targets"]
        }

    def click_draw(self, **fields: Any) -> None:
        call = self._calls["generate"]
        values = FIELDS | fields
        data = [values.get(self._names.get(part) or "") for part in call["inputs"]]
        body = {"data": data, "fn_index": call["id"], "session_hash": self.session}
        self.client.post("/gradio_api/queue/join", json=body).raise_for_status()

    def click_cancel(self, session: str | None = None) -> None:
        body = {"data": [], "fn_index": self._calls["cancel"]["id"], "session_hash": session or self.session}
        self.client.post("/gradio_api/run/predict", json=body).raise_for_status()

    @contextmanager
    def listen(self) -> Iterator[Iterator[str]]:
        """Give what the page is told, message by message, until the end; leaving hangs up."""
        with self.client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as stream:
            yield (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))

    def watch(self) -> list[str]:
        """Return all that the page is told until the drawing has ended."""
        told = []
        with self.listen() as messages:
            for message in messages:
                told.append(message)
                if json.loads(message)["msg"] == END:
                    break
        return told

    def draw(self, **fields: Any) -> list[str]:
        self.click_draw(**fields)
        return self.watch()
