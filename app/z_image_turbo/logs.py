"""The log: one JSON object a line on standard error, set up once, by the command."""

from __future__ import annotations

import contextvars
import logging
from typing import TYPE_CHECKING

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


def set_up(settings: Settings) -> None:
    """Send every logger's lines, and Python's warnings, through the one handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"instance": settings.name},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            json_ensure_ascii=False,
        )
    )
    handler.addFilter(_add_request_id)
    logging.basicConfig(level=settings.log_level_number, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("httpx", "httpcore", "asyncio", "PIL"):
        logging.getLogger(chatty).setLevel(max(settings.log_level_number, logging.WARNING))


def _add_request_id(record: logging.LogRecord) -> bool:
    if (known := request_id.get()) and not hasattr(record, "request"):
        record.request = known
    return True
