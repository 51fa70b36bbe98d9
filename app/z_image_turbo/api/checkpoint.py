"""The model as the web UI's clients know it: a title with a hash in it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from z_image_turbo.api.parts import require_model

if TYPE_CHECKING:
    from pathlib import Path

    from z_image_turbo.settings import Settings

MANIFEST = "SHA256SUMS"
WEIGHTS = ".safetensors"
SHORT = 10  # digits of a hash that clients show


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Name and hash of the model; the hash is unknown where the model's folder has no manifest."""

    name: str
    sha256: str | None
    aliases: tuple[str, ...] = ()

    @property
    def short_hash(self) -> str | None:
        """The hash as people see it."""
        return self.sha256[:SHORT] if self.sha256 else None

    @property
    def title(self) -> str:
        """What clients choose the model by."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name

    def require(self, asked: object) -> None:
        """Raise `UnknownModel` unless `asked` is a title, name or hash of the model, or nothing at all."""
        known = (self.title, self.name, *self.aliases, self.short_hash, self.sha256)
        require_model(asked, known, "sd_model_checkpoint")


def read_checkpoint(settings: Settings) -> Checkpoint:
    """Return what the settings and the model's manifest say; the weights themselves are not read."""
    return Checkpoint(settings.model_name, hash_of_weights(settings.model_path), settings.model_names[1:])


def hash_of_weights(folder: Path) -> str | None:
    """Return one hash over those of the weight files in the manifest of `folder`, None without one."""
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    weights = sorted(line for line in lines if line.endswith(WEIGHTS))
    return sha256("\n".join(weights).encode()).hexdigest() if weights else None


def _checkpoint(request: Request) -> Checkpoint:
    checkpoint: Checkpoint = request.app.state.checkpoint
    return checkpoint


CheckpointOf = Annotated[Checkpoint, Depends(_checkpoint)]
