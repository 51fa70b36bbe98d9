"""The model: what draws pictures. It knows neither the web nor the queue; PyTorch is imported only inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from z_image_turbo.captions import Captions
from z_image_turbo.errors import OutOfMemory
from z_image_turbo.faults import as_fault
from z_image_turbo.hardware import place, quantization, require_device
from z_image_turbo.logs import take_over_libraries
from z_image_turbo.lora_shelf import LoraShelf
from z_image_turbo.memory import device_memory
from z_image_turbo.pixels import as_images, outside_as_before
from z_image_turbo.text_cache import TextCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL.Image import Image

    from z_image_turbo.pictures import Picture
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)


Preview = Callable[["Sequence[int]"], "list[Image]"]
OnStep = Callable[[int, Preview], None]


class Engine(Protocol):
    """What an instance needs of a model. Calls come from the worker's thread, one at a time.

    Only `caption_tokens` may be called from any thread, once the engine is loaded.
    """

    def load(self) -> None:
        """Make the engine able to draw; may take minutes."""

    def caption_tokens(self, prompt: str) -> int:
        """Return how many tokens the model reads of `prompt`."""

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        """Return the pictures as RGB images, in order.

        They may differ in prompt, seed, source and mask; the rest must be equal, as `Batching.likeness` says.
        `on_step` is told the number of steps done after each, with a function that gives the pictures at some
        places as they are by then; an exception it raises ends the drawing and comes out unchanged.
        Raises `BrokenPicture` when no picture came out, `OutOfMemory` when these do not fit, and `DeviceLost`
        when nothing can be drawn any more.
        """

    def probe(self) -> None:
        """Have the device compute something small; raise whatever it raises when it is gone."""

    def facts(self) -> dict[str, str]:
        """Return what draws here, for logs and metrics."""

    def memory(self) -> dict[str, Any]:
        """Return what is used of the device's memory, as `memory.device_memory` does."""

    def texts(self) -> tuple[int, int]:
        """Return how many texts were found in the cache, and how many had to be read."""


class DiffusersEngine:
    """The Z-Image-Turbo pipeline of the diffusers library, from a local folder."""

    def __init__(self, settings: Settings) -> None:
        """Note where the model is; nothing is read before `load`."""
        self._settings = settings
        self._texts = TextCache(settings.text_cache_bytes_max)
        self._device = "cpu"
        self._facts: dict[str, str] = {}
        self._captions: Captions
        self._loras: LoraShelf
        self._from_text: Any = None
        self._from_picture: Any = None
        self._inside_mask: Any = None

    def load(self) -> None:
        """Read the weights onto the device: bfloat16 on a GPU, float32 on a CPU.

        Never float16: the model's activations overflow it.
        """
        take_over_libraries()
        import torch  # noqa: PLC0415
        from diffusers import ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline  # noqa: PLC0415

        settings = self._settings
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._device = settings.device
        if self._device == "auto":
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        require_device(settings, self._device)
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        pipeline = ZImagePipeline.from_pretrained(
            settings.model_path,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            quantization_config=quantization(settings),
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.enable_slicing()  # the pictures of a batch are decoded one by one, in the memory of one
        place(pipeline, settings, self._device)
        self._from_text = pipeline
        # Other ways through the same modules; not by from_pipe, which would make them float32.
        self._from_picture = ZImageImg2ImgPipeline(**pipeline.components)
        self._inside_mask = ZImageInpaintPipeline(**pipeline.components)
        for other in (self._from_picture, self._inside_mask):
            other.set_progress_bar_config(disable=True)
        self._captions = Captions(pipeline.tokenizer)
        self._loras = LoraShelf(pipeline, settings, dtype)
        self._facts = {
            "device": self._device,
            "device_name": torch.cuda.get_device_name() if self._device == "cuda" else "cpu",
            "dtype": str(dtype).removeprefix("torch."),
            "quantize": settings.quantize,
            "quantize_text": str(settings.quantize_text).lower(),
            "attention": settings.attention,
        }
        self.probe()

    def caption_tokens(self, prompt: str) -> int:
        """Return how many tokens the model reads of `prompt`; from any thread."""
        return len(self._captions.tokens(prompt))

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        """Draw `pictures` as one batch; see `Engine.draw`."""
        try:
            return self._draw(pictures, on_step)
        except Exception as error:
            fault = as_fault(error, self.probe)
            if fault is error:
                raise
            log.warning("the device failed", exc_info=error)
            error.__traceback__ = None  # its frames hold what is on the device
        if isinstance(fault, OutOfMemory):
            self._free_memory()
        raise fault

    def probe(self) -> None:
        """Multiply two small matrices on the device and fetch the result; see `Engine.probe`."""
        import torch  # noqa: PLC0415

        small = torch.ones(16, 16, device=self._device)
        float((small @ small).sum())

    def facts(self) -> dict[str, str]:
        """Return what draws here; see `Engine.facts`."""
        return self._facts

    def memory(self) -> dict[str, Any]:
        """Return what is used of the device's memory; see `Engine.memory`."""
        return device_memory()

    def texts(self) -> tuple[int, int]:
        """Return how many texts were known and how many were read; see `Engine.texts`."""
        return self._texts.hits, self._texts.misses

    def _draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        import torch  # noqa: PLC0415

        first = pictures[0]
        pipeline, wanted = self._way(pictures)
        before: Any = None

        def after_step(
            _pipeline: object, index: int, _timestep: object, values: dict[str, Any]
        ) -> dict[str, Any]:
            nonlocal before
            latents = values["latents"]
            on_step(index + 1, lambda places: self._preview(before, latents, list(places)))
            before = latents
            return values

        with torch.no_grad(), self._loras.worn(first.loras):
            result = pipeline(
                prompt_embeds=[self._texts.get(picture.prompt, self._encode) for picture in pictures],
                width=first.width,
                height=first.height,
                num_inference_steps=first.steps,
                guidance_scale=0.0,  # the model is distilled: guidance would only double the cost
                generator=[_generator(torch, picture.seed) for picture in pictures],
                callback_on_step_end=after_step,
                output_type="pt",
                **wanted,
            )
        return [
            outside_as_before(image, picture)
            for image, picture in zip(as_images(result.images), pictures, strict=True)
        ]

    def _way(self, pictures: Sequence[Picture]) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline that draws `pictures`, and what it alone wants."""
        first = pictures[0]
        if first.source is None:
            return self._from_text, {}
        wanted: dict[str, Any] = {
            "image": [picture.source for picture in pictures],
            "strength": first.strength,
        }
        if first.mask is None:
            return self._from_picture, wanted
        return self._inside_mask, wanted | {"mask_image": [picture.mask for picture in pictures]}

    def _encode(self, prompt: str) -> torch.Tensor:
        """Return what the text encoder makes of `prompt`, one row a token.

        The pipeline's own way pads every prompt to the longest first, and drops those rows at the end: the
        same result for many times the work.
        """
        import torch  # noqa: PLC0415

        tokens = torch.tensor([self._captions.tokens(prompt)], device=self._device)
        states = self._from_text.text_encoder(input_ids=tokens, output_hidden_states=True).hidden_states
        made: torch.Tensor = states[-2][0]
        return made

    def _preview(self, before: Any, latents: Any, places: list[int]) -> list[Image]:  # noqa: ANN401 - tensors
        """Return what some of the pictures would be if they went on in the direction of the last step.

        The latents of a middle step are half noise; this is the picture that the model has in mind by then.
        """
        scheduler, vae = self._from_text.scheduler, self._from_text.vae
        latents = latents[places]
        if before is not None:
            now = scheduler.sigmas[scheduler.step_index]
            last = scheduler.sigmas[scheduler.step_index - 1]
            latents = latents - now * (latents - before[places]) / (now - last)
        latents = latents.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        decoded = vae.decode(latents, return_dict=False)[0]
        return as_images((decoded / 2 + 0.5).clamp(0, 1))

    def _free_memory(self) -> None:
        import torch  # noqa: PLC0415

        if self._device == "cuda":
            torch.cuda.empty_cache()


def _generator(torch_module: Any, seed: int) -> torch.Generator:  # noqa: ANN401
    """Return a source of noise on the CPU, where a seed means the same whatever device draws."""
    generator: torch.Generator = torch_module.Generator("cpu").manual_seed(seed)
    return generator
