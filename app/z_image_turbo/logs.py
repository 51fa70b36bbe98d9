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


def take_over_libraries() -> None:
    """Have PyTorch and its company speak through our log, and draw no progress bars. Imports them."""
    import torch  # noqa: F401, PLC0415 - it sets up its handlers when it is imported
    from diffusers.utils import logging as diffusers_logging  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "torch":
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    for library in (diffusers_logging, transformers_logging):
        library.disable_default_handler()
        library.enable_propagation()
        library.disable_progress_bar()
    for chatty in ("torchao", "torch.utils._pytree", "diffusers.quantizers"):  # about what is not in use
        logging.getLogger(chatty).setLevel(logging.ERROR)
