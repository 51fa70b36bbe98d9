"""What a request cost, counted as OpenAI's clients expect it: in tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from z_image_turbo.settings import GRID

if TYPE_CHECKING:
    from z_image_turbo.api.openai_answers import Usage
    from z_image_turbo.pictures import Order

BYTES_OF_TOKEN = 4  # of a prompt, about: what it really is, only the text encoder knows


def usage_of(order: Order, count: int) -> Usage:
    """Return the tokens of `count` pictures of `order`: of a picture, one for each patch of the model."""
    patches = order.width * order.height // GRID**2
    text = math.ceil(len(order.prompt.encode()) / BYTES_OF_TOKEN)
    image = patches if order.source else 0
    return {
        "input_tokens": text + image,
        "output_tokens": patches * count,
        "total_tokens": text + image + patches * count,
        "input_tokens_details": {"image_tokens": image, "text_tokens": text},
    }
