"""The nano model and its training: the parts that must agree with the real classes."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from scripts import train_nano_model
from scripts.nano import model, release, training, world
from scripts.nano.data import World, cells
from scripts.nano.measure import Tally, measure
from scripts.nano.muon import orthogonal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def pipeline() -> Any:
    pipeline = model.build_pipeline(0)
    with torch.no_grad():
        pipeline.transformer.all_final_layer["2-1"].linear.weight.normal_(std=0.1)
        pipeline.transformer.cap_pad_token.normal_()
    return pipeline


@pytest.fixture(scope="module")
def data(pipeline: Any) -> World:
    return World(pipeline.tokenizer, outlines=2, device="cpu", seed=0)


def test_the_words_of_captions_are_tokens(pipeline: Any) -> None:
    for caption, count in (("A red circle on a blue background.", 8), ("蓝色背景上的红色圆形", 5)):
        ids = pipeline.tokenizer(caption).input_ids
        assert len(ids) == count
        assert pipeline.tokenizer.decode(ids) == caption


def test_any_text_has_tokens(pipeline: Any) -> None:
    text = "Ein Leuchtturm im Morgenlicht, 灯塔 🗼"
    assert pipeline.tokenizer.decode(pipeline.tokenizer(text).input_ids) == text


def test_the_fast_forward_is_the_models_own(pipeline: Any) -> None:
    captions = ["a red circle on a blue background", "红色圆形,蓝色背景"]
    ids, mask = model.tokenize(pipeline.tokenizer, captions)
    latents, time = torch.randn(2, model.LATENT_CHANNELS, 32, 32), torch.tensor([0.0, 0.7])
    side = 32 // model.PATCH
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    with torch.no_grad():
        own_states, _ = pipeline.encode_prompt(list(captions), do_classifier_free_guidance=False)
        own = pipeline.transformer(list(latents.unsqueeze(2)), time, own_states, return_dict=False)[0]
        states = model.encode(pipeline.text_encoder, ids, mask)
        fast = model.velocity(pipeline.transformer, model.patches(latents), places, time, states, mask)
    expected = model.patches(torch.stack(list(own)).squeeze(2))
    torch.testing.assert_close(fast, expected, atol=2e-5, rtol=1e-4)


def test_training_data_shows_the_scenes_of_its_captions(pipeline: Any, data: World) -> None:
    torch.manual_seed(0)
    batch = data.sample(16, as_latents=False)
    meanings = {
        text: scene
        for scene in world.all_scenes()
        for language in world.LANGUAGES
        for caption in world.captions(scene, language)
        for text in {world.vary(caption, random.Random(seed)) for seed in range(40)}
    }
    for picture, ids in zip(batch.pictures, batch.ids, strict=True):
        text = pipeline.tokenizer.decode(ids, skip_special_tokens=True)
        caption = text.removeprefix("user\n").split("\n")[0]
        pixels = ((picture + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8).numpy()
        scene = world.describe(Image.fromarray(pixels))
        assert scene == meanings[caption]
        assert scene is not None
        assert not world.is_held_out(scene)


def test_latents_of_training_are_the_mean_colours_of_pictures(data: World) -> None:
    batches = []
    for as_latents in (False, True):
        torch.manual_seed(0)
        batches.append(data.sample(4, as_latents=as_latents).pictures)
    torch.testing.assert_close(cells(batches[0]), batches[1], atol=1e-5, rtol=1e-5)


def test_unused_channels_stay_unused_and_both_models_learn(pipeline: Any, data: World) -> None:
    places = torch.cartesian_prod(torch.arange(4), torch.arange(8))
    loss = training.flow_loss(pipeline, data.sample(2, as_latents=True), places)
    loss.backward()  # type: ignore[no-untyped-call]
    reader = pipeline.transformer.all_x_embedder["2-1"].weight.grad
    by_channel = reader.view(model.WIDTH, -1, model.LATENT_CHANNELS).abs().sum(dim=(0, 1))
    assert (by_channel[: model.USED_CHANNELS] > 0).all()
    assert (by_channel[model.USED_CHANNELS :] == 0).all()
    assert pipeline.text_encoder.embed_tokens.weight.grad.abs().sum() > 0


def test_the_autoencoder_learns_pictures_and_mean_colours(pipeline: Any, data: World) -> None:
    pictures = data.sample(1, as_latents=False).pictures[:, :, :64, :64]
    training.autoencoder_loss(pipeline.vae, pictures).backward()  # type: ignore[no-untyped-call]
    for part in (pipeline.vae.encoder.conv_out, pipeline.vae.decoder.conv_in):
        assert part.weight.grad.abs().sum() > 0


def test_noise_levels_are_those_of_the_scheduler(pipeline: Any) -> None:
    pipeline.scheduler.set_timesteps(sigmas=[1 - step / 8 for step in range(8)])
    torch.testing.assert_close(
        torch.tensor(training.LEVELS), pipeline.scheduler.sigmas[:-1], atol=1e-5, rtol=1e-5
    )
    levels = training.noise_levels(1000, "cpu")
    assert 0 < levels.min() < 0.3 < levels.max() <= 1


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_muon_makes_matrices_nearly_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, *shape)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_the_rate_falls_at_the_end() -> None:
    assert [training.falling(done) for done in (0, 0.5, 1)] == [1, 1, 0.01]


def test_tallies_count_by_attribute() -> None:
    tally = Tally()
    asked = world.Scene("circle", "red", "blue")
    for seen in (asked, world.Scene("square", "red", "blue"), None, asked):
        tally.add(asked, seen)
    assert tally.shares() == {"shape": 0.5, "colour": 0.75, "background": 0.75, "all": 0.5}


def test_measuring_asks_for_every_scene_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(_: Any, captions: list[str], seeds: list[int]) -> list[Any]:
        assert len(captions) == len(seeds)
        return [world.render(scenes["circle" in caption or "圆形" in caption]) for caption in captions]

    scenes = [world.Scene("square", "red", "blue"), world.Scene("circle", "white", "black")]
    monkeypatch.setattr("scripts.nano.measure.draw", draw)
    tallies = measure(None, scenes, 2, 0)
    assert {language: tally.asked for language, tally in tallies.items()} == {"en": 4, "zh": 4}
    assert all(tally.shares()["all"] == 1 for tally in tallies.values())


def test_training_is_taken_up_from_its_checkpoint_and_saves_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "OUTLINES", 2)
    monkeypatch.setattr(release, "accuracy", lambda *_: {"seen": {}, "held_out": {}})
    command = ["--checkpoint", str(tmp_path / "state"), "--batch", "24", "--minutes"]
    train_nano_model.main([*command, "0.01"])
    train_nano_model.main([*command, "0.02", "--output", str(tmp_path / "model")])
    assert json.loads(capsys.readouterr().out) == {
        "progress": [],
        "accuracy": {"seen": {}, "held_out": {}},
    }
    assert release.verifies(tmp_path / "model")
    progress = torch.load(tmp_path / "state" / "training.pt", weights_only=True)["progress"]
    assert progress["seconds"] + progress["autoencoder_seconds"] >= 0.02 * 60
    loaded = release.load(tmp_path / "model")
    with torch.no_grad():
        [picture] = loaded(
            "a red circle", height=256, width=256, num_inference_steps=1, guidance_scale=0.0
        ).images
    assert picture.size == (256, 256)
    weight = loaded.vae.decoder.conv_in.weight
    assert not weight[:, model.USED_CHANNELS :].any()
