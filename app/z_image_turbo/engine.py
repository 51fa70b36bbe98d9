"""The model: what draws pictures. It knows neither the web nor the queue; PyTorch is imported only inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from z_image_turbo.errors import BrokenPicture, DeviceLost, OutOfMemory
from z_image_turbo.hardware import place
from z_image_turbo.text_cache import TextCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL.Image import Image

    from z_image_turbo.pictures import Picture
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)


Preview = Callable[[], "list[Image]"]
OnStep = Callable[[int, Preview], None]


class Engine(Protocol):
    """What the worker needs of a model. All calls come from the worker's thread, one at a time."""

    def load(self) -> None:
        """Make the engine able to draw; may take minutes."""

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        """Return the pictures as RGB images, in order.

        They must have the same width, height, steps and strength, and all or none a source. `on_step` is told
        the number of steps done after each, with a function that gives the pictures as they are by then; an
        exception it raises ends the drawing and comes out unchanged. Raises `BrokenPicture` when no picture
        came out, `OutOfMemory` when these do not fit, and `DeviceLost` when nothing can be drawn any more.
        """


class DiffusersEngine:
    """The Z-Image-Turbo pipeline of the diffusers library, from a local folder."""

    def __init__(self, settings: Settings) -> None:
        """Note where the model is; nothing is read before `load`."""
        self._settings = settings
        self._texts = TextCache(settings.text_cache_bytes_max)
        self._from_text: Any = None
        self._from_picture: Any = None

    def load(self) -> None:
        """Read the weights onto the device: bfloat16 on a GPU, float32 on a CPU.

        Never float16: the model's activations overflow it.
        """
        import torch  # noqa: PLC0415
        from diffusers import ZImageImg2ImgPipeline, ZImagePipeline  # noqa: PLC0415

        _speak_through_our_log()
        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        device: str = self._settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        pipeline = ZImagePipeline.from_pretrained(
            self._settings.model_path,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            local_files_only=True,
            use_safetensors=True,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.enable_slicing()  # the pictures of a batch are decoded one by one, in the memory of one
        place(pipeline, self._settings, device)
        self._from_text = pipeline
        # Another way through the same modules; not by from_pipe, which would make them float32.
        self._from_picture = ZImageImg2ImgPipeline(**pipeline.components)
        self._from_picture.set_progress_bar_config(disable=True)
        log.info("the model is on the device", extra={"device": device})

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        """Draw `pictures` as one batch; see `Engine.draw`."""
        import torch  # noqa: PLC0415

        first = pictures[0]
        pipeline, wanted = self._from_text, {}
        if first.source is not None:
            pipeline = self._from_picture
            wanted = {"image": [picture.source for picture in pictures], "strength": first.strength}
        before: Any = None

        def after_step(
            _pipeline: object, index: int, _timestep: object, values: dict[str, Any]
        ) -> dict[str, Any]:
            nonlocal before
            latents = values["latents"]
            on_step(index + 1, lambda: self._preview(before, latents))
            before = latents
            return values

        try:
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
            return _as_images(result.images)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory("The device has not enough memory for these pictures.") from error
        except torch.AcceleratorError as error:
            raise DeviceLost(str(error)) from error

    def _encode(self, prompt: str) -> torch.Tensor:
        import torch  # noqa: PLC0415

        with torch.no_grad():
            embeddings, _ = self._from_text.encode_prompt([prompt], do_classifier_free_guidance=False)
        made: torch.Tensor = embeddings[0]
        return made

    def _preview(self, before: Any, latents: Any) -> list[Image]:  # noqa: ANN401 - tensors
        """Return what the pictures would be if they went on in the direction of the last step.

        The latents of a middle step are half noise; this is the picture that the model has in mind by then.
        """
        import torch  # noqa: PLC0415

        scheduler, vae = self._from_text.scheduler, self._from_text.vae
        if before is not None:
            now = scheduler.sigmas[scheduler.step_index]
            last = scheduler.sigmas[scheduler.step_index - 1]
            latents = latents - now * (latents - before) / (now - last)
        with torch.no_grad():
            latents = latents.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
            decoded = vae.decode(latents, return_dict=False)[0]
        return _as_images((decoded / 2 + 0.5).clamp(0, 1))


def _as_images(drawn: torch.Tensor) -> list[Image]:
    """Return the pictures of a batch of values from 0 to 1, made whole numbers where they were drawn."""
    from PIL import Image  # noqa: PLC0415

    if not bool(drawn.isfinite().all()):
        raise BrokenPicture("The model drew something that is not a number.")
    pixels = (drawn.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def _generator(torch_module: Any, seed: int) -> torch.Generator:  # noqa: ANN401
    """Return a source of noise on the CPU, where a seed means the same whatever device draws."""
    generator: torch.Generator = torch_module.Generator("cpu").manual_seed(seed)
    return generator


def _speak_through_our_log() -> None:
    """Stop the libraries' own log handlers and progress bars."""
    from diffusers.utils import logging as diffusers_logging  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    for library in (diffusers_logging, transformers_logging):
        library.disable_default_handler()
        library.enable_propagation()
        library.disable_progress_bar()
