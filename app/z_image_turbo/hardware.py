"""The settings that ask something of the hardware: applied where it can, refused in words where it cannot."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings


class SettingUnusable(Exception):  # noqa: N818 - it says what is wrong with the setting
    """A setting asks for what this machine has not; the message names the setting."""


def place(pipeline: Any, settings: Settings, device: str) -> None:  # noqa: ANN401 - diffusers has no types
    """Bring `pipeline` onto `device` in the way the settings ask for; raise `SettingUnusable`."""
    if device == "cpu":
        if wanting := settings.needing_gpu:
            raise SettingUnusable(f"{wanting[0]}: needs a GPU, and this instance draws on the CPU")
        pipeline.to(device)
        return
    if settings.attention != "native":
        try:
            pipeline.transformer.set_attention_backend(settings.attention)
        except (ImportError, RuntimeError, ValueError) as error:
            raise SettingUnusable(f"attention: {settings.attention} cannot be used here: {error}") from error
    if settings.compile:
        if find_spec("triton") is None:
            raise SettingUnusable("compile: needs the triton package, which is not installed")
        # Only the repeated blocks, and for all sizes at once: seconds instead of minutes before ready.
        pipeline.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    if settings.offload:
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
