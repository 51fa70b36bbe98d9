"""A model in 8 bits draws what the exact one draws."""

from typing import Any

import pytest

from scripts.nano import world
from tests.app.conftest import MakeSettings
from z_image_turbo.engine import DiffusersEngine
from z_image_turbo.pictures import make_order

SCENES = [world.Scene("circle", "red", "blue"), world.Scene("square", "green", "white")]


@pytest.mark.parametrize("asked", [{"quantize": "int8"}, {"quantize": "int8", "quantize_text": True}])
def test_the_pictures_still_show_what_was_asked_for(
    settings_for: MakeSettings, asked: dict[str, Any]
) -> None:
    settings = settings_for(side_default=256, **asked)
    engine = DiffusersEngine(settings)
    engine.load()
    pipeline = engine._from_text
    in_8_bits = [
        type(layer.weight).__name__ == "Int8Tensor"
        for layer in (
            pipeline.transformer.layers[0].attention.to_q,
            pipeline.text_encoder.layers[0].mlp.up_proj,
        )
    ]
    assert in_8_bits == [True, "quantize_text" in asked]
    for scene, language in zip(SCENES, world.LANGUAGES, strict=True):
        order = make_order(settings, prompt=world.captions(scene, language)[0], seed=1)
        assert world.describe(engine.draw(order.pictures, lambda *_: None)[0]) == scene
    assert engine.facts()["quantize"] == "int8"
