"""What is known of GPUs and of the ways to run the model on them: memory, speed, settings.

Memory is in GB (10^9 bytes): the label of a card for GPUs, and for presets what one instance needs for
pictures of up to 1024x1024: weights, CUDA context and activations.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIB = 2**20 / 10**9  # in GB
PICTURE_TFLOP = 459.0  # 1024x1024 in 8 steps, all parts of the model
EFFICIENCY = 0.5  # of the tensor cores' dense rate, by PyTorch without compilation
MAX_WEIGHT = 100


class Preset(NamedTuple):
    """One way to run the model: what an instance needs, its speed beside bf16, the application's settings."""

    memory: float
    speed: float
    settings: dict[str, Any]


class Model(NamedTuple):
    """A GPU model: memory by its label, and dense bf16 rate of its tensor cores in TFLOP/s."""

    memory: float
    tflops: float


PRESETS = {
    "bf16": Preset(23.6, 1.0, {}),
    "fp8": Preset(17.6, 1.3, {"quantize": "fp8"}),
    "int8": Preset(17.6, 1.0, {"quantize": "int8"}),
    "offload": Preset(14.0, 0.4, {"offload": True}),
}
DEFAULT_PRESET = "bf16"

MODELS = {
    "RTX 4060 Ti": Model(16, 44),
    "RTX 4070 Ti SUPER": Model(16, 88),
    "RTX 4080": Model(16, 97),
    "RTX 5060 Ti": Model(16, 48),
    "RTX 5070 Ti": Model(16, 88),
    "RTX 5080": Model(16, 112),
    "RTX 3090": Model(24, 71),
    "RTX 4090": Model(24, 165),
    "A10": Model(24, 125),
    "A30": Model(24, 165),
    "L4": Model(24, 121),
    "RTX 5090": Model(32, 209),
    "A100 40GB": Model(40, 312),
    "A40": Model(48, 150),
    "L20": Model(48, 119),
    "L40": Model(48, 181),
    "L40S": Model(48, 362),
    "RTX A6000": Model(48, 155),
    "RTX 6000 Ada": Model(48, 182),
    "A100": Model(80, 312),
    "A800": Model(80, 312),
    "H100 PCIe": Model(80, 756),
    "H100": Model(80, 989),
    "H800": Model(80, 989),
    "RTX PRO 6000": Model(96, 250),
    "H20": Model(96, 148),
    "H200": Model(141, 989),
    "B200": Model(180, 2250),
}

# Into how many slices MIG divides the processors of a GPU; 7 of all others.
SLICES = {"A30": 4, "RTX PRO 6000": 4}
PART = re.compile(r"\b(\d)g\.(\d+)gb(\+me)?$", re.IGNORECASE)


def find_model(name: str) -> Model | None:
    """Return the model of a name such as `NVIDIA H100 80GB HBM3`: the longest whose words it has.

    `H100 3g.40gb` is a part of one by MIG, with the memory of the profile and its share of the rate.
    """
    part = PART.search(name)
    words = set(_words(name[: part.start()] if part else name))
    found = [known for known in MODELS if set(_words(known)) <= words]
    if not found:
        return None
    known = max(found, key=len)
    if not part:
        return MODELS[known]
    share = int(part[1]) / SLICES.get(known, 7)
    return Model(float(part[2]), MODELS[known].tflops * min(share, 1.0))


def pictures_a_minute(model: Model, preset: Preset) -> float:
    """Return how many pictures of 1024x1024 in 8 steps a GPU draws in a minute, by its tensor cores' rate."""
    return 60 * EFFICIENCY * preset.speed * model.tflops / PICTURE_TFLOP


def weight_of(pictures: float) -> int:
    """Return the weight in the balancer: pictures a minute, 1 to 100."""
    return max(1, min(MAX_WEIGHT, round(pictures)))


def too_full(
    gpu: int, memory: float, planned: Iterable[Mapping[str, Any]], needs: Mapping[str, float]
) -> str:
    """Return why the instances of a GPU do not fit its memory, with the arithmetic; empty when they do.

    Args:
        gpu: number of the GPU.
        memory: what it has, in GB.
        planned: the instances of the host.
        needs: what an instance needs by preset, in GB, to tell what would fit.

    """
    here = [instance for instance in planned if instance["gpu"] == gpu]
    total = sum(instance["memory"] for instance in here)
    if total <= memory:
        return ""
    terms = " + ".join(f"{i['memory']:.1f} ({i['name']}, {i['preset']})" for i in here)
    fitting = ", ".join(f"{int(memory // need)} by {name}" for name, need in needs.items() if need <= memory)
    return (
        f"GPU {gpu} has {memory:.1f} GB and its instances need {terms} = {total:.1f} GB; "
        f"it holds {fitting or 'none by any preset'}"
    )


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())
