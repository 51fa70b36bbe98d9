"""The LoRAs that are on the device, and the one moment in which some of them act."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from z_image_turbo.errors import LoraUnusable, UnknownLora
from z_image_turbo.faults import means_no_memory
from z_image_turbo.loras import lora_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch

    from z_image_turbo.loras import Lora
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)

Version = tuple[int, int]  # when the file was written, and its size


@dataclass(frozen=True, slots=True)
class _Loaded:
    adapter: str
    version: Version


class LoraShelf:
    """Keeps the most recently used LoRAs beside the transformer's weights, which stay as they are.

    For the worker's thread. All pipelines over the same transformer see the same adapters.
    """

    def __init__(self, pipeline: Any, settings: Settings, dtype: torch.dtype) -> None:  # noqa: ANN401
        """Load into the transformer of `pipeline` what `settings.lora_path` holds, in `dtype`, when asked."""
        self._pipeline = pipeline
        self._folder = settings.lora_path
        self._most = settings.loras_max
        self._dtype = dtype
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._count = 0
        # It warns of several adapters at once.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"peft\.")

    @contextmanager
    def worn(self, loras: Sequence[Lora]) -> Iterator[None]:
        """Have `loras`, and no others, act inside the block. Raises `UnknownLora` and `LoraUnusable`."""
        if not loras:
            yield
            return
        adapters = [self._adapter(lora.name, keep={one.name for one in loras}) for lora in loras]
        try:
            self._pipeline.set_adapters(adapters, [lora.weight for lora in loras])
            self._pipeline.enable_lora()
            yield
        finally:
            self._pipeline.disable_lora()

    def _adapter(self, name: str, keep: set[str]) -> str:
        """Return the adapter of the LoRA `name`, loaded now if need be; `keep` are those that must stay."""
        path = lora_files(self._folder).get(name)
        if path is None:
            raise UnknownLora(f"there is none named {name[:100]!r} any more.", field="lora")
        facts = path.stat()
        version = (facts.st_mtime_ns, facts.st_size)
        known = self._loaded.get(name)
        if known is not None and known.version == version:
            self._loaded.move_to_end(name)
            return known.adapter
        if known is not None:
            self._drop(name)
        for other in [one for one in self._loaded if one not in keep]:
            if len(self._loaded) >= self._most:
                self._drop(other)
        return self._load(name, path, version)

    def _load(self, name: str, path: Path, version: Version) -> str:
        import torch  # noqa: PLC0415
        from safetensors.torch import load_file  # noqa: PLC0415

        self._count += 1
        adapter = f"lora_{self._count}"  # names of files may hold what names of modules may not
        try:
            weights = {key: value.to(self._dtype) for key, value in load_file(path).items()}
            self._pipeline.load_lora_weights(weights, adapter_name=adapter)
        except Exception as error:
            if means_no_memory(error) or isinstance(error, torch.AcceleratorError):
                raise
            log.warning("the LoRA %s cannot be used: %s", name, error)
            self._pipeline.disable_lora()
            raise LoraUnusable(f"{name!r} cannot be used with this model.", field="lora") from error
        self._pipeline.disable_lora()
        self._loaded[name] = _Loaded(adapter, version)
        log.info("LoRA loaded", extra={"lora": name})
        return adapter

    def _drop(self, name: str) -> None:
        self._pipeline.delete_adapters([self._loaded.pop(name).adapter])
