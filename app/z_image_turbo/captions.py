"""Prompts as the tokens that the model reads."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

TOKENS_MAX = 512  # the model was trained on captions of at most this length; the rest is cut off
KEPT = 256


class Captions:
    """Tokens by prompt. Made where a request comes in, so that they are there when the device wants them."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - transformers has no types
        """Read prompts with `tokenizer`, which nobody else may use at the same time."""
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._read = lru_cache(KEPT)(self._tokenize)

    def tokens(self, prompt: str) -> tuple[int, ...]:
        """Return the tokens of `prompt` in the frame of a chat; from any thread, in a few milliseconds."""
        with self._lock:
            return self._read(prompt)

    def _tokenize(self, prompt: str) -> tuple[int, ...]:
        framed = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        return tuple(self._tokenizer(framed, truncation=True, max_length=TOKENS_MAX)["input_ids"])
