"""The real engine and the fake keep the same promises, so that tests with the fake mean something."""

from collections.abc import Sequence

import pytest
from PIL import ImageChops
from PIL.Image import Image

from tests.app.fakes import FakeEngine
from z_image_turbo.engine import Engine, Preview
from z_image_turbo.pictures import Picture


class Stop(Exception):  # noqa: N818
    """Raised by a test in the middle of a drawing."""


@pytest.fixture(params=["fake", "tiny"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "fake":
        return FakeEngine()
    engine: Engine = request.getfixturevalue("tiny_engine")
    return engine


def picture(seed: int, width: int = 96, steps: int = 3) -> Picture:
    return Picture("a red fox 一只红色的狐狸", width, 64, steps, seed)


def draw(engine: Engine, pictures: Sequence[Picture]) -> list[Image]:
    return engine.draw(pictures, lambda *_: None)


def difference(one: Image, other: Image) -> int:
    return max(ImageChops.difference(one, other).tobytes())


def test_every_picture_has_the_size_that_was_asked_for(any_engine: Engine) -> None:
    images = draw(any_engine, [picture(1), picture(2)])
    assert [(image.size, image.mode) for image in images] == [((96, 64), "RGB")] * 2


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(any_engine: Engine) -> None:
    first, again, other = (draw(any_engine, [picture(seed)])[0] for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_picture_is_the_same_alone_and_in_a_batch(any_engine: Engine) -> None:
    batch = draw(any_engine, [picture(1), picture(2), picture(3)])
    for image, seed in zip(batch, (1, 2, 3), strict=True):
        assert difference(image, draw(any_engine, [picture(seed)])[0]) <= 1  # float sums in another order


def test_every_step_is_told(any_engine: Engine) -> None:
    told: list[int] = []
    any_engine.draw([picture(1, steps=4)], lambda step, _: told.append(step))
    assert told == [1, 2, 3, 4]


def test_a_drawing_can_be_stopped_at_a_step_and_the_next_one_is_right(any_engine: Engine) -> None:
    before = draw(any_engine, [picture(1)])[0]

    def stop(step: int, _: Preview) -> None:
        if step == 2:
            raise Stop

    with pytest.raises(Stop):
        any_engine.draw([picture(9)], stop)
    assert draw(any_engine, [picture(1)])[0].tobytes() == before.tobytes()


def test_the_number_of_steps_counts(tiny_engine: Engine) -> None:
    few, many = (draw(tiny_engine, [picture(1, steps=steps)])[0] for steps in (2, 8))
    assert few.tobytes() != many.tobytes()
