"""The model: what draws pictures. It knows neither the web nor the queue; PyTorch is imported only inside."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from z_image_turbo.errors import DeviceLost, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from PIL.Image import Image

    from z_image_turbo.pictures import Picture
    from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What the worker needs of a model. All calls come from the worker's thread, one at a time."""

    def load(self) -> None:
        """Make the engine able to draw; may take minutes."""

    def draw(self, pictures: Sequence[Picture], on_step: Callable[[int], None]) -> list[Image]:
        """Return the pictures as RGB images, in order.

        They must have the same width, height and steps. `on_step` is told the number of steps done after
        each; an exception it raises ends the drawing and comes out unchanged. Raises `OutOfMemory` when
        these pictures do not fit, and `DeviceLost` when nothing can be drawn any more.
        """


class DiffusersEngine:
    """The Z-Image-Turbo pipeline of the diffusers library, from a local folder."""

    def __init__(self, settings: Settings) -> None:
        """Note where the model is; nothing is read before `load`."""
        self._model_path = settings.model_path
        self._device = settings.device
        self._threads = settings.threads
        self._pipeline: Any = None

    def load(self) -> None:
        """Read the weights onto the device: bfloat16 on a GPU, float32 on a CPU.

        Never float16: the model's activations overflow it.
        """
        import torch  # noqa: PLC0415
        from diffusers import ZImagePipeline  # noqa: PLC0415

        _speak_through_our_log()
        if self._threads:
            torch.set_num_threads(self._threads)
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        pipeline = ZImagePipeline.from_pretrained(
            self._model_path,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            local_files_only=True,
            use_safetensors=True,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.enable_slicing()  # the pictures of a batch are decoded one by one, in the memory of one
        self._pipeline = pipeline.to(device)
        log.info("the model is on the device", extra={"device": device})

    def draw(self, pictures: Sequence[Picture], on_step: Callable[[int], None]) -> list[Image]:
        """Draw `pictures` as one batch; see `Engine.draw`."""
        import torch  # noqa: PLC0415

        def after_step(
            _pipeline: object, index: int, _timestep: object, values: dict[str, Any]
        ) -> dict[str, Any]:
            on_step(index + 1)
            return values

        first = pictures[0]
        try:
            result = self._pipeline(
                prompt=[picture.prompt for picture in pictures],  # the pipeline overwrites this list
                width=first.width,
                height=first.height,
                num_inference_steps=first.steps,
                guidance_scale=0.0,  # the model is distilled: guidance would only double the cost
                generator=[_generator(torch, picture.seed) for picture in pictures],
                callback_on_step_end=after_step,
            )
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory("The device has not enough memory for these pictures.") from error
        except torch.AcceleratorError as error:
            raise DeviceLost(str(error)) from error
        images: list[Image] = result.images
        return images


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
