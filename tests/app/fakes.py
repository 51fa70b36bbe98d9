"""An engine without a model, under the test's control."""

import threading
from collections.abc import Sequence
from typing import Any

from PIL import Image
from PIL.Image import Image as Drawn

from z_image_turbo.engine import OnStep
from z_image_turbo.errors import DeviceLost, OutOfMemory
from z_image_turbo.pictures import Picture

WAIT_SECONDS = 20
FAULTS = {
    "a bug": ValueError("secret detail of the engine"),
    "too much": OutOfMemory("The device has not enough memory for these pictures."),
    "lost": DeviceLost("an illegal memory access"),
}


class FakeEngine:
    """Draws flat pictures, coloured by their seed, or gives the source back (outside of the mask).

    `go` and `load_go`, while cleared, hold it. A prompt of `FAULTS` fails whatever is drawn with it.
    """

    def __init__(self) -> None:
        self.load_go = threading.Event()
        self.go = threading.Event()
        self.load_go.set()
        self.go.set()
        self.load_error: Exception | None = None
        self.probe_error: Exception | None = None
        self.used: dict[str, Any] = {"error": "no GPU is in use"}
        self.drawn: list[str] = []  # the first prompt of each batch
        self.batches: list[list[str]] = []  # all its prompts

    def load(self) -> None:
        assert self.load_go.wait(WAIT_SECONDS)
        if self.load_error is not None:
            raise self.load_error

    def caption_tokens(self, prompt: str) -> int:
        return len(prompt)

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Drawn]:
        first = pictures[0]
        self.drawn.append(first.prompt)
        self.batches.append([picture.prompt for picture in pictures])
        for step in range(1, steps_of(first) + 1):
            assert self.go.wait(WAIT_SECONDS)
            on_step(step, lambda places, step=step: [flat(pictures[place], step) for place in places])  # type: ignore[misc]
        for picture in pictures:
            if picture.prompt in FAULTS:
                raise FAULTS[picture.prompt]
        return [finished(picture) for picture in pictures]

    def probe(self) -> None:
        if self.probe_error is not None:
            raise self.probe_error

    def facts(self) -> dict[str, str]:
        return {"device": "fake", "device_name": "none"}

    def memory(self) -> dict[str, Any]:
        return self.used

    def texts(self) -> tuple[int, int]:
        return 5, 7


def finished(picture: Picture) -> Drawn:
    if picture.prompt == "black":
        return Image.new("RGB", (picture.width, picture.height))
    if picture.source is not None and picture.mask is not None:
        return Image.composite(flat(picture, 255), picture.source, picture.mask)
    return picture.source or flat(picture, 255)


def flat(picture: Picture, blue: int) -> Drawn:
    return Image.new("RGB", (picture.width, picture.height), (picture.seed % 256, 0, blue))


def steps_of(picture: Picture) -> int:
    return picture.steps - int(max(picture.steps - picture.steps * picture.strength, 0))
