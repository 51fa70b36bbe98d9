"""What the browser keeps of a session: the form, the gallery, the language. It comes back untrusted."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from z_image_turbo.page_texts import LANGUAGES
from z_image_turbo.pictures import SEED_BY_LOT

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings

FORM_KEY = "z-image-turbo-form"
GALLERY_KEY = "z-image-turbo-gallery"
ENTRIES_MAX = 24
PICTURE_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+/[0-9a-f]{64}/z-image-[0-9]+\.png")


def _picture_path(text: str) -> str:
    if not PICTURE_PATH.fullmatch(text):
        raise ValueError("is not the path of a picture")
    return text


class Entry(BaseModel):
    """One picture of the gallery: where it is and how it came about."""

    model_config = ConfigDict(frozen=True)

    file: Annotated[str, AfterValidator(_picture_path)]
    prompt: str
    width: int
    height: int
    seed: int
    steps: int
    at: float  # seconds since 1970


def blank_form(settings: Settings) -> dict[str, Any]:
    """Return the form as it is at first; no language stands for that of the browser."""
    side = settings.side_default
    form = {"prompt": "", "width": side, "height": side, "count": 1, "seed": SEED_BY_LOT}
    return form | {"steps": settings.steps, "language": ""}


def kept_language(form: object) -> str:
    """Return the language that was chosen on the page, empty if none was."""
    language = form.get("language") if isinstance(form, dict) else None
    return language if isinstance(language, str) and language in LANGUAGES else ""


def read_gallery(kept: object, folder: Path, age_hours: float) -> list[Entry]:
    """Return the pictures that the browser kept and that may still be there, the newest first.

    Of those in `folder`, which is this host's, it is known; those of other hosts are believed until they are
    too old. The browser leaves out what it cannot load.
    """
    entries = []
    for item in kept[:ENTRIES_MAX] if isinstance(kept, list) else ():
        try:
            entry = Entry.model_validate(item)
        except ValidationError:
            continue
        path = Path(entry.file)
        if time.time() - entry.at < age_hours * 3600 and (path.parents[1] != folder or path.is_file()):
            entries.append(entry)
    return entries


def keep_gallery(entries: list[Entry]) -> list[dict[str, Any]]:
    """Return the gallery as the browser keeps it."""
    return [entry.model_dump() for entry in entries[:ENTRIES_MAX]]
