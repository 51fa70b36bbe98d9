"""The real engine and the fake keep the same promises, so that tests with the fake mean something."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from PIL import Image, ImageChops
from PIL.Image import Image as Drawn

from tests.app.fakes import FakeEngine
from z_image_turbo.engine import DiffusersEngine, Engine, Preview
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


def draw(engine: Engine, pictures: Sequence[Picture]) -> list[Drawn]:
    return engine.draw(pictures, lambda *_: None)


def difference(one: Drawn, other: Drawn) -> int:
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


def from_picture(strength: float, seed: int = 1) -> Picture:
    source = Image.new("RGB", (96, 64), (200, 40, 90))
    return replace(picture(seed, steps=4), source=source, strength=strength)


def test_beginning_with_a_picture_takes_a_part_of_the_steps(any_engine: Engine) -> None:
    for strength, steps in ((0.25, [1]), (0.5, [1, 2]), (1.0, [1, 2, 3, 4])):
        told: list[int] = []

        def note(step: int, _: Preview, told: list[int] = told) -> None:
            told.append(step)

        images = any_engine.draw([from_picture(strength)], note)
        assert (told, images[0].size) == (steps, (96, 64))


def test_a_batch_that_begins_with_a_picture_is_the_same_one_by_one(tiny_engine: Engine) -> None:
    batch = draw(tiny_engine, [from_picture(0.5, 1), from_picture(0.5, 2)])
    for image, seed in zip(batch, (1, 2), strict=True):
        assert difference(image, draw(tiny_engine, [from_picture(0.5, seed)])[0]) <= 1


def test_the_less_may_change_the_nearer_the_picture_stays_and_plain_drawing_goes_on_as_before(
    tiny_engine: Engine,
) -> None:
    before = draw(tiny_engine, [picture(1)])[0]
    little, much = (draw(tiny_engine, [from_picture(strength)])[0] for strength in (0.25, 1.0))
    assert little.tobytes() != much.tobytes()
    assert draw(tiny_engine, [picture(1)])[0].tobytes() == before.tobytes()


def test_previews_come_nearer_to_the_picture_and_do_not_disturb_it(any_engine: Engine) -> None:
    shown: list[Drawn] = []
    final = any_engine.draw([picture(1, steps=6)], lambda _, preview: shown.append(preview([0])[0]))[0]
    assert final.tobytes() == draw(any_engine, [picture(1, steps=6)])[0].tobytes()
    assert [image.size for image in shown] == [(96, 64)] * 6
    assert difference(shown[-1], final) <= difference(shown[0], final)


def test_the_previews_of_a_batch_are_had_one_by_one(any_engine: Engine) -> None:
    def compare(_: int, preview: Preview) -> None:
        first, second = preview([0, 1])
        assert first.tobytes() != second.tobytes()
        assert difference(preview([1])[0], second) <= 1

    any_engine.draw([picture(1), picture(2)], compare)


@pytest.mark.parametrize("prompt", ["a red fox 一只红色的狐狸", "", "snow " * 800])
def test_a_prompt_is_read_as_the_pipeline_reads_it(tiny_engine: Engine, prompt: str) -> None:
    assert isinstance(tiny_engine, DiffusersEngine)
    with torch.no_grad():
        expected, _ = tiny_engine._from_text.encode_prompt([prompt], do_classifier_free_guidance=False)
        read = tiny_engine._encode(prompt)
    assert read.shape == expected[0].shape == (tiny_engine.caption_tokens(prompt), read.shape[1])
    assert torch.allclose(read, expected[0], atol=1e-4)


def test_the_same_prompt_is_read_once(tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(tiny_engine, DiffusersEngine)
    draw(tiny_engine, [picture(1)])
    monkeypatch.setattr(tiny_engine, "_encode", None)
    draw(tiny_engine, [picture(2), picture(3)])
