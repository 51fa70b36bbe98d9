"""Who calls: the name that a trusted proxy gives, else the address of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from z_image_turbo.jobs import NOBODY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

    from z_image_turbo.settings import Settings

CALLER_CHARS_MAX = 256


class TrustedProxies:
    """ASGI middleware: the headers that tell who calls count only from the proxies of the settings.

    The principal's header is taken out of everybody else's requests, so that whoever reads it may believe it.
    It must be the outermost one: later on the client's address is the forwarded one.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Surround `app`."""
        self._inner: Any = ProxyHeadersMiddleware(app, settings.forwarded_allow_ips)  # type: ignore[arg-type]
        self._header = settings.principal_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "lifespan":
            peer = scope.get("client")
            if (peer[0] if peer else None) not in self._inner.trusted_hosts:
                del MutableHeaders(scope=scope)[self._header]
        await self._inner(scope, receive, send)


def caller_of(headers: Mapping[str, str], address: str | None, settings: Settings) -> str:
    """Return whose turn a job of this request takes."""
    principal = headers.get(settings.principal_header.lower(), "").strip()[:CALLER_CHARS_MAX]
    return principal or address or NOBODY
