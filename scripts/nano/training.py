"""Training the nano model: the autoencoder first, then the transformer together with the text encoder."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from scripts.nano import world
from scripts.nano.data import Batch, World, cells
from scripts.nano.measure import measure, report
from scripts.nano.model import (
    CELL,
    LATENT_CHANNELS,
    PATCH,
    SIDE,
    SPREAD,
    USED_CHANNELS,
    build_pipeline,
    encode,
    patches,
    velocity,
)
from scripts.nano.muon import Muon

if TYPE_CHECKING:
    from pathlib import Path

# Shares of the time: the autoencoder's, of that on crops; the transformer's on a part of the tokens; and from
# where on the learning rates fall to nothing.
AUTOENCODER_SHARE = 0.14
CROPS_SHARE = 0.6
FEW_TOKENS_SHARE = 0.35
FALL_FROM = 0.55
AUTOENCODER_RATE = 3e-3
RATE = 2e-3
WARM_UP_STEPS = 100
CROP = 96
FEW_TOKENS = 64
OUTLINES = 400
# The decoder learns to take latents that are a little off, as the transformer's are.
LATENT_NOISE = 0.08
AVERAGING = 0.995
SAVE_EVERY_SECONDS = 60.0
PROBE_EVERY_SECONDS = 300.0
# The noise levels of 8 steps with shift 3: half of the samples are at one of them.
SHIFT = 3.0
LEVELS = [SHIFT * u / (1 + (SHIFT - 1) * u) for u in (1 - step / 8 for step in range(8))]


@dataclass(frozen=True)
class Options:
    """What the command says."""

    device: str
    minutes: float
    checkpoint: Path
    batch: int
    seed: int


@dataclass
class Progress:
    """How far training is."""

    autoencoder_seconds: float = 0.0
    seconds: float = 0.0
    steps: int = 0
    samples: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)


def falling(done: float) -> float:
    """Return the learning rate's factor: one, then linearly down to a hundredth."""
    return 1.0 if done < FALL_FROM else max(0.01, (1 - done) / (1 - FALL_FROM))


def autoencoder_loss(autoencoder: Any, pictures: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """Return how far the decoder is from the pictures, and the encoder from their cells' mean colours."""
    latents = pictures.new_zeros(
        len(pictures), LATENT_CHANNELS, *(side // CELL for side in pictures.shape[2:])
    )
    latents[:, :USED_CHANNELS] = cells(pictures)
    noise = torch.rand(len(latents), 1, 1, 1, device=latents.device) * LATENT_NOISE
    noisy = latents.clone()
    noisy[:, :USED_CHANNELS] += noise * torch.randn_like(latents[:, :USED_CHANNELS])
    decoded = autoencoder.decode(noisy).sample
    encoded = autoencoder.encoder(pictures)[:, :USED_CHANNELS]
    return (
        functional.l1_loss(decoded, pictures)
        + functional.mse_loss(decoded, pictures)
        + functional.mse_loss(encoded, latents[:, :USED_CHANNELS])
    )


def noise_levels(size: int, device: str) -> torch.Tensor:
    """Return random noise levels: those of inference, and shifted logit-normal ones."""
    chosen = torch.tensor(LEVELS, device=device)[torch.randint(len(LEVELS), (size,), device=device)]
    spread = torch.sigmoid(torch.randn(size, device=device))
    shifted = SHIFT * spread / (1 + (SHIFT - 1) * spread)
    return torch.where(torch.rand(size, device=device) < 0.5, chosen, shifted)  # noqa: PLR2004 - half


def flow_loss(pipeline: Any, batch: Batch, places: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """Return how far the transformer's velocity is from the true one, at some tokens of each picture."""
    latents = batch.pictures / SPREAD
    noise = torch.randn_like(latents)
    level = noise_levels(len(latents), str(latents.device))
    noisy = latents + level[:, None, None, None] * (noise - latents)
    unused = (0, 0, 0, 0, 0, LATENT_CHANNELS - USED_CHANNELS)
    chosen = places[:, 0] * (SIDE // CELL // PATCH) + places[:, 1]
    answer = velocity(
        pipeline.transformer,
        patches(functional.pad(noisy, unused))[:, chosen],
        places,
        1 - level,
        encode(pipeline.text_encoder, batch.ids, batch.mask),
        batch.mask,
    )
    used = answer.view(*answer.shape[:2], PATCH * PATCH, LATENT_CHANNELS)[..., :USED_CHANNELS]
    return functional.mse_loss(used.flatten(-2), patches(latents - noise)[:, chosen])


class Trainer:
    """The whole training, in steps that a checkpoint may interrupt."""

    def __init__(self, options: Options) -> None:
        """Build everything, or take it up where the checkpoint left it."""
        self.options = options
        self.progress = Progress()
        self.pipeline = build_pipeline(options.seed).to(options.device)
        self.world = World(self.pipeline.tokenizer, OUTLINES, options.device, options.seed)
        self.autoencoder = self.pipeline.vae
        self.learner = torch.nn.ModuleDict(
            {"transformer": self.pipeline.transformer, "text_encoder": self.pipeline.text_encoder}
        )
        self.average = {name: value.clone() for name, value in self.learner.state_dict().items()}
        matrices, others = self._parameters()
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "autoencoder": torch.optim.AdamW(
                self.autoencoder.parameters(), AUTOENCODER_RATE, betas=(0.9, 0.99), weight_decay=0.0
            ),
            "matrices": Muon(matrices, RATE),
            "others": torch.optim.AdamW(others, RATE, betas=(0.9, 0.98), weight_decay=0.0),
        }
        side = SIDE // CELL // PATCH
        grid = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        self.places = grid.to(options.device)
        self.saved = time.monotonic()
        self._load()
        torch.manual_seed(options.seed + self.progress.steps)

    def _parameters(self) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
        """Return the matrices inside the transformer's blocks, and all else that learns with them."""
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in self.learner.named_parameters():
            in_block = name.startswith(
                ("transformer.layers.", "transformer.noise_refiner.", "transformer.context_refiner.")
            )
            inner = in_block and parameter.ndim == 2 and "adaLN" not in name  # noqa: PLR2004 - a matrix
            (matrices if inner else others).append(parameter)
        return matrices, others

    @property
    def _file(self) -> Path:
        return self.options.checkpoint / "training.pt"

    def _load(self) -> None:
        """Take up a checkpoint, where there is one."""
        if not self._file.exists():
            return
        saved = torch.load(self._file, map_location=self.options.device, weights_only=True)
        self.autoencoder.load_state_dict(saved["autoencoder"])
        self.learner.load_state_dict(saved["learner"])
        self.average = saved["average"]
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        self.progress = Progress(**saved["progress"])

    def save(self) -> None:
        """Write the checkpoint; an interrupted write leaves the one before."""
        self.options.checkpoint.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_suffix(".unfinished")
        content = {
            "autoencoder": self.autoencoder.state_dict(),
            "learner": self.learner.state_dict(),
            "average": self.average,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "progress": asdict(self.progress),
        }
        torch.save(content, unfinished)
        unfinished.replace(self._file)
        self.saved = time.monotonic()

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self.saved > SAVE_EVERY_SECONDS:
            self.save()

    def train(self) -> None:
        """Train for what is left of the time."""
        total = self.options.minutes * 60
        self._train_autoencoder(AUTOENCODER_SHARE * total)
        self._train_transformer((1 - AUTOENCODER_SHARE) * total)
        self.save()

    def _train_autoencoder(self, total: float) -> None:
        """Train the autoencoder: crops first, which are cheap, then whole pictures."""
        optimizer = self.optimizers["autoencoder"]
        step = 0
        while (done := self.progress.autoencoder_seconds / total) < 1:
            started = time.monotonic()
            step += 1
            pictures = self.world.sample(
                self.options.batch // (8 if done < CROPS_SHARE else 24), as_latents=False
            ).pictures
            if done < CROPS_SHARE:
                top, left = (CELL * int(torch.randint((SIDE - CROP) // CELL + 1, ())) for _ in range(2))
                pictures = pictures[:, :, top : top + CROP, left : left + CROP]
            loss = autoencoder_loss(self.autoencoder, pictures)
            self._descend(loss, [optimizer], AUTOENCODER_RATE * falling(done), step)
            self.progress.autoencoder_seconds += time.monotonic() - started
            if step % 100 == 0:
                print(f"autoencoder: {done:.0%} of its time, loss {loss.item():.4f}", flush=True)
            self._save_now_and_then()

    def _train_transformer(self, total: float) -> None:
        """Train the transformer and the text encoder: on a part of the tokens first, then on all."""
        optimizers = [self.optimizers["matrices"], self.optimizers["others"]]
        recent = math.nan
        while (done := self.progress.seconds / total) < 1:
            started = time.monotonic()
            places, size = self.places, self.options.batch // 4
            if done < FEW_TOKENS_SHARE:
                places, size = places[torch.randperm(len(places))[:FEW_TOKENS]], self.options.batch
            loss = flow_loss(self.pipeline, self.world.sample(size, as_latents=True), places)
            self._descend(loss, optimizers, RATE * falling(done), self.progress.steps)
            self._average()
            progress = self.progress
            progress.steps += 1
            progress.samples += size
            before = progress.seconds
            progress.seconds += time.monotonic() - started
            if progress.steps % 50 == 0:
                recent = loss.item() if math.isnan(recent) else 0.7 * recent + 0.3 * loss.item()
                print(
                    f"{done:.1%} {progress.steps} steps, {progress.samples} samples, loss {recent:.4f}",
                    flush=True,
                )
            if before // PROBE_EVERY_SECONDS < progress.seconds // PROBE_EVERY_SECONDS:
                self._probe()
            self._save_now_and_then()

    def _descend(
        self, loss: torch.Tensor, optimizers: list[torch.optim.Optimizer], rate: float, step: int
    ) -> None:
        """Take one step."""
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / WARM_UP_STEPS)
        parameters = [
            p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
        ]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    @torch.no_grad()
    def _average(self) -> None:
        """Follow the weights with their moving average, which is what is used."""
        step = self.progress.steps
        share = 1 - min(AVERAGING, (1 + step) / (10 + step))
        for name, value in self.learner.state_dict().items():
            self.average[name].lerp_(value, share)

    def use_average(self) -> dict[str, torch.Tensor]:
        """Put the averaged weights in place and return the others."""
        weights = {name: value.clone() for name, value in self.learner.state_dict().items()}
        self.learner.load_state_dict(self.average)
        return weights

    def _probe(self) -> None:
        """Add a point to the learning curve."""
        weights = self.use_average()
        scenes = world.all_scenes()
        point: dict[str, Any] = {
            "minutes": round((self.progress.seconds + self.progress.autoencoder_seconds) / 60, 1),
            "samples": self.progress.samples,
        }
        for name, held_out in (("seen", False), ("held_out", True)):
            group = [scene for scene in scenes if world.is_held_out(scene) is held_out][
                :: 1 if held_out else 6
            ]
            point[name] = report(measure(self.pipeline, group, 1, self.options.seed))
        self.progress.curve.append(point)
        print(json.dumps(point), flush=True)
        self.learner.load_state_dict(weights)
