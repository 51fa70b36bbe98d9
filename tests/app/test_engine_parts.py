"""What surrounds the model: the cache of texts, and the settings that ask something of the hardware."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.app.conftest import MakeSettings
from z_image_turbo import hardware
from z_image_turbo.errors import BrokenPicture, DeviceLost, OutOfMemory
from z_image_turbo.faults import as_fault
from z_image_turbo.hardware import SettingUnusable, place, require_device
from z_image_turbo.pixels import as_images
from z_image_turbo.text_cache import TextCache


class FakeTransformer:
    def __init__(self, refused: str = "") -> None:
        self.done: list[str] = []
        self._refused = refused

    def set_attention_backend(self, name: str) -> None:
        if name == self._refused:
            raise RuntimeError("no such kernel on this GPU")
        self.done.append(name)

    def compile_repeated_blocks(self, **_: Any) -> None:
        self.done.append("compiled")


class FakePipeline:
    def __init__(self, refused: str = "") -> None:
        self.transformer = FakeTransformer(refused)
        self.place = ""

    def to(self, device: str) -> None:
        self.place = device

    def enable_model_cpu_offload(self, device: str) -> None:
        self.place = f"{device} in parts"


def cached(cache: TextCache, prompt: str, asked: list[str]) -> torch.Tensor:
    def encode(text: str) -> torch.Tensor:
        asked.append(text)
        return torch.zeros(100)  # 400 bytes

    return cache.get(prompt, encode)


def test_a_text_is_read_once_and_the_least_recently_used_is_forgotten() -> None:
    cache = TextCache(1000)
    asked: list[str] = []
    for prompt in ("a", "b", "a", "c", "a", "b"):
        assert cached(cache, prompt, asked).nbytes == 400
    assert asked == ["a", "b", "c", "b"]


def test_a_text_larger_than_the_cache_is_not_kept() -> None:
    cache = TextCache(0)
    asked: list[str] = []
    for _ in range(2):
        cached(cache, "a", asked)
    assert asked == ["a", "a"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_no_picture(value: float) -> None:
    drawn = torch.full((1, 3, 4, 4), 0.5)
    assert as_images(drawn)[0].getpixel((0, 0)) == (128, 128, 128)
    drawn[0, 1, 2, 3] = value
    with pytest.raises(BrokenPicture):
        as_images(drawn)


@pytest.mark.parametrize(
    "asked", [{"attention": "sage"}, {"compile": True}, {"offload": True}, {"quantize": "fp8"}]
)
def test_what_needs_a_gpu_is_refused_on_the_cpu(settings_for: MakeSettings, asked: dict[str, Any]) -> None:
    name = next(iter(asked))
    with pytest.raises(SettingUnusable, match=rf"{name}.*: needs a GPU"):
        require_device(settings_for(**asked), "cpu")
    with pytest.raises(ValueError, match=rf"{name}.* needs a GPU"):
        settings_for(device="cpu", **asked)


def test_a_gpu_that_is_not_there_is_refused(settings_for: MakeSettings) -> None:
    with pytest.raises(SettingUnusable, match="device: cuda cannot be had"):
        require_device(settings_for(device="cuda"), "cuda")


def test_on_a_gpu_the_settings_are_applied(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "find_spec", lambda _: object())
    plain, special = FakePipeline(), FakePipeline()
    place(plain, settings_for(), "cuda")
    place(special, settings_for(attention="_native_cudnn", compile=True, offload=True), "cuda")
    assert (plain.place, plain.transformer.done) == ("cuda", [])
    assert (special.place, special.transformer.done) == ("cuda in parts", ["_native_cudnn", "compiled"])


def test_an_attention_kernel_that_this_gpu_has_not_is_refused_in_words(settings_for: MakeSettings) -> None:
    with pytest.raises(SettingUnusable, match="attention: sage cannot be used here: no such kernel"):
        place(FakePipeline(refused="sage"), settings_for(attention="sage"), "cuda")


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"compile": True}, "compile: needs the triton package"),
        ({"quantize": "int8"}, "quantize: int8: needs the torchao package"),
        ({"lora_path": Path(__file__).parent}, "lora_path: needs the peft package"),
    ],
)
def test_a_package_that_is_missing_is_named(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], refusal: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(hardware, "find_spec", lambda _: None)
    with pytest.raises(SettingUnusable, match=refusal):
        require_device(settings_for(**asked), "cuda")


def test_fp8_goes_on_the_gpus_that_know_it_alone(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 6))
    with pytest.raises(SettingUnusable, match=r"quantize: fp8 needs .* 8\.9 or more .* has 8\.6"):
        require_device(settings_for(quantize="fp8"), "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    require_device(settings_for(quantize="fp8"), "cuda")


def test_loras_cannot_be_had_with_a_compiled_transformer(settings_for: MakeSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compile and lora_path exclude each other"):
        settings_for(compile=True, lora_path=tmp_path)


def passes() -> None:
    """Compute, as a device does that is well."""


def breaks() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_told_as_such_whatever_raises_it(error: Exception) -> None:
    assert isinstance(as_fault(error, breaks), OutOfMemory)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    ],
)
def test_an_error_after_which_the_device_computes_no_more_means_that_it_is_lost(error: Exception) -> None:
    fault = as_fault(error, breaks)
    assert isinstance(fault, DeviceLost)
    assert str(error) in str(fault)
    assert as_fault(error, passes) is error


def test_an_error_that_is_not_the_devices_does_not_ask_it() -> None:
    error = ValueError("a bug")
    assert as_fault(error, breaks) is error
