"""What the text encoder made of the last prompts, so that the same prompt is not read twice."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


class TextCache:
    """Embeddings by prompt, on the device, the least recently used ones dropped. For the worker's thread."""

    def __init__(self, bytes_max: int) -> None:
        """Keep at most `bytes_max` bytes; 0 keeps nothing."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self.hits = 0  # texts that were here when asked for
        self.misses = 0  # texts that had to be read
        self._known: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, prompt: str, encode: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """Return the embedding of `prompt`, made by `encode` when it is not known."""
        if (known := self._known.get(prompt)) is not None:
            self._known.move_to_end(prompt)
            self.hits += 1
            return known
        made = encode(prompt)
        self.misses += 1
        self._known[prompt] = made
        self._bytes += made.nbytes
        while self._bytes > self._bytes_max:
            _, dropped = self._known.popitem(last=False)
            self._bytes -= dropped.nbytes
        return made
