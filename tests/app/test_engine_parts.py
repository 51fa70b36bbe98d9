"""What surrounds the model: the cache of texts, and the settings that ask something of the hardware."""

from typing import Any

import pytest
import torch

from tests.app.conftest import MakeSettings
from z_image_turbo import hardware
from z_image_turbo.engine import _as_images
from z_image_turbo.errors import BrokenPicture
from z_image_turbo.hardware import SettingUnusable, place
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
    assert _as_images(drawn)[0].getpixel((0, 0)) == (128, 128, 128)
    drawn[0, 1, 2, 3] = value
    with pytest.raises(BrokenPicture):
        _as_images(drawn)


@pytest.mark.parametrize("asked", [{"attention": "sage"}, {"compile": True}, {"offload": True}])
def test_what_needs_a_gpu_is_refused_on_the_cpu(settings_for: MakeSettings, asked: dict[str, Any]) -> None:
    name = next(iter(asked))
    with pytest.raises(SettingUnusable, match=f"{name}: needs a GPU"):
        place(FakePipeline(), settings_for(**asked), "cpu")
    with pytest.raises(ValueError, match=f"{name} needs a GPU"):
        settings_for(device="cpu", **asked)


def test_on_a_gpu_the_settings_are_applied(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "find_spec", lambda _: object())
    plain, special = FakePipeline(), FakePipeline()
    place(plain, settings_for(), "cuda")
    place(special, settings_for(attention="_native_cudnn", compile=True, offload=True), "cuda")
    assert (plain.place, plain.transformer.done) == ("cuda", [])
    assert (special.place, special.transformer.done) == ("cuda in parts", ["_native_cudnn", "compiled"])


def test_what_this_gpu_or_machine_has_not_is_refused_in_words(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingUnusable, match="attention: sage cannot be used here: no such kernel"):
        place(FakePipeline(refused="sage"), settings_for(attention="sage"), "cuda")
    monkeypatch.setattr(hardware, "find_spec", lambda _: None)
    with pytest.raises(SettingUnusable, match="compile: needs the triton package"):
        place(FakePipeline(), settings_for(compile=True), "cuda")
