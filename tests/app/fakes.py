"""An engine without a model, under the test's control."""

import threading
from collections.abc import Sequence

from PIL import Image
from PIL.Image import Image as Drawn

from z_image_turbo.engine import OnStep
from z_image_turbo.errors import DeviceLost, OutOfMemory
from z_image_turbo.pictures import Picture

WAIT_SECONDS = 20


class FakeEngine:
    """Draws flat pictures, coloured by their seed, or gives the source back.

    `go` and `load_go`, while cleared, hold it.
    """

    def __init__(self) -> None:
        self.load_go = threading.Event()
        self.go = threading.Event()
        self.load_go.set()
        self.go.set()
        self.load_error: Exception | None = None
        self.drawn: list[str] = []

    def load(self) -> None:
        assert self.load_go.wait(WAIT_SECONDS)
        if self.load_error is not None:
            raise self.load_error

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Drawn]:
        first = pictures[0]
        self.drawn.append(first.prompt)
        for step in range(1, steps_of(first) + 1):
            assert self.go.wait(WAIT_SECONDS)
            on_step(step, lambda step=step: [flat(picture, step) for picture in pictures])  # type: ignore[misc]
        match first.prompt:
            case "a bug":
                raise ValueError("secret detail of the engine")
            case "too much":
                raise OutOfMemory("The device has not enough memory for these pictures.")
            case "lost":
                raise DeviceLost("an illegal memory access")
            case "black":
                return [Image.new("RGB", (first.width, first.height)) for _ in pictures]
        return [picture.source or flat(picture, 255) for picture in pictures]


def flat(picture: Picture, blue: int) -> Drawn:
    return Image.new("RGB", (picture.width, picture.height), (picture.seed % 256, 0, blue))


def steps_of(picture: Picture) -> int:
    return picture.steps - int(max(picture.steps - picture.steps * picture.strength, 0))
