"""Gradio's events, as far as they matter to a balancer and to those who hang up."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from gradio import queueing

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import Request
    from gradio.blocks import BlockFunction

SEPARATOR = "~"


class NamedEvent(queueing.Event):  # type: ignore[misc]
    """An event whose identifier begins with the name of its instance.

    `GET /gradio_api/call/<function>/<event>` has no session to go by: a balancer finds the instance by this.
    """

    def __init__(
        self, session_hash: str | None, fn: BlockFunction, request: Request, username: str | None
    ) -> None:
        """Make an event of the page that the request is for."""
        super().__init__(session_hash, fn, request, username)
        if name := getattr(request.app.get_blocks(), "instance_name", ""):
            self._id = f"{name}{SEPARATOR}{uuid.uuid4().hex}"
            self.session_hash = session_hash or self._id


def name_events() -> None:
    """Have Gradio make named events from now on, in all pages of the process."""
    queueing.Event = NamedEvent


def hung_up(page: gr.Blocks, request: gr.Request) -> bool:
    """Tell whether nobody listens any more to the event that `request` began."""
    return any(
        event.request is request.request and not event.alive
        for events in page._queue.active_jobs  # noqa: SLF001 - Gradio tells it nowhere else
        for event in events or ()
    )
