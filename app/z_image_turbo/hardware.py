"""The settings that ask something of the hardware: applied where it can, refused in words where it cannot."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings


FP8_CAPABILITY = (8, 9)
# A small share of the work, and a large one of the error.
KEPT_EXACT = ["adaLN_modulation", "t_embedder", "cap_embedder", "all_x_embedder", "all_final_layer"]


class SettingUnusable(Exception):  # noqa: N818 - it says what is wrong with the setting
    """A setting asks for what this machine has not; the message names the setting."""


def require_device(settings: Settings, device: str) -> None:
    """Raise `SettingUnusable` where a setting asks for what `device` or the installation has not."""
    import torch  # noqa: PLC0415

    if device == "cpu":
        if wanting := settings.needing_gpu:
            raise SettingUnusable(f"{wanting[0]}: needs a GPU, and this instance draws on the CPU")
    elif not torch.cuda.is_available():
        raise SettingUnusable("device: cuda cannot be had, PyTorch finds no GPU here")
    if settings.compile:
        _require_package("compile", "triton")
    if settings.quantize != "none":
        _require_package(f"quantize: {settings.quantize}", "torchao")
    if settings.quantize_text:
        _require_package("quantize_text", "torchao")
    if settings.lora_path is not None:
        _require_package("lora_path", "peft")
    if settings.quantize == "fp8":
        capability = torch.cuda.get_device_capability()
        if capability < FP8_CAPABILITY:
            raise SettingUnusable(
                "quantize: fp8 needs a GPU of compute capability 8.9 or more (Ada, Hopper, Blackwell), "
                f"and this one has {capability[0]}.{capability[1]}; int8 goes on all"
            )


def quantization(settings: Settings) -> Any:  # noqa: ANN401
    """Return how diffusers is to quantise the model while reading it, None for not at all.

    fp8 makes the products themselves faster on the GPUs that know it. int8 only stores the weights smaller.
    """
    if settings.quantize == "none" and not settings.quantize_text:
        return None
    from diffusers import PipelineQuantizationConfig, TorchAoConfig  # noqa: PLC0415
    from torchao.quantization import (  # noqa: PLC0415
        Float8DynamicActivationFloat8WeightConfig,
        Int8WeightOnlyConfig,
        PerRow,
    )
    from transformers import TorchAoConfig as TextTorchAoConfig  # noqa: PLC0415

    plans: dict[str, Any] = {}
    if settings.quantize == "int8":
        plans["transformer"] = TorchAoConfig(Int8WeightOnlyConfig(), KEPT_EXACT)
    if settings.quantize == "fp8":
        products = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
        plans["transformer"] = TorchAoConfig(products, KEPT_EXACT)
    if settings.quantize_text:
        plans["text_encoder"] = TextTorchAoConfig(Int8WeightOnlyConfig())
    return PipelineQuantizationConfig(quant_mapping=plans)


def place(pipeline: Any, settings: Settings, device: str) -> None:  # noqa: ANN401 - diffusers has no types
    """Bring `pipeline` onto `device` in the way the settings ask for; raise `SettingUnusable`."""
    if device == "cpu":
        pipeline.to(device)
        return
    if settings.attention != "native":
        try:
            pipeline.transformer.set_attention_backend(settings.attention)
        except (ImportError, RuntimeError, ValueError) as error:
            raise SettingUnusable(f"attention: {settings.attention} cannot be used here: {error}") from error
    if settings.compile:
        # Only the repeated blocks, and for all sizes at once: seconds instead of minutes before ready.
        pipeline.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    if settings.offload:
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _require_package(setting: str, package: str) -> None:
    if find_spec(package) is None:
        raise SettingUnusable(f"{setting}: needs the {package} package, which is not installed")
