"""The parts of the page that show pictures, as HTML. Everything that people wrote is escaped here."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from z_image_turbo.page_memory import Entry
    from z_image_turbo.page_texts import Texts
    from z_image_turbo.watching import Progress

PREVIEW_SIDE = 512
PREVIEW_QUALITY = 80

# Handled by page.js and the listeners of the page, which find buttons by these names.
ICONS = {
    "download": '<path d="M12 4v11m0 0 4-4m-4 4-4-4M5 20h14"/>',
    "use_seed": '<rect x="4" y="4" width="16" height="16" rx="3"/><path d="M9 9h.01M15 9h.01M12 15h.01"/>',
    "use_prompt": '<path d="M4 7h16M4 12h16M4 17h9"/>',
    "theme": '<path d="M12 3a9 9 0 1 0 9 9c0-.5-.04-1-.1-1.4A5.5 5.5 0 0 1 12 3z"/>',
    "start_from": '<path d="M20 11A8 8 0 1 0 18 17m2-10v4h-4"/>',
}


def icon(name: str) -> str:
    """Return a line drawing, which says nothing to a screen reader."""
    return f'<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">{ICONS[name]}</svg>'


def header() -> str:
    """Return the top of the page: its name, the languages, and the switch between light and dark."""
    return (
        '<header><h1><span class="mark" aria-hidden="true"></span>Z-Image-Turbo</h1><nav>'
        '<button type="button" data-action="speak" data-index="zh" lang="zh">中文</button>'
        '<button type="button" data-action="speak" data-index="en" lang="en">English</button>'
        '<button type="button" class="theme" data-theme-switch aria-label="Light or dark / 浅色或深色">'
        f"{icon('theme')}</button></nav></header>"
    )


def welcome(texts: Texts) -> str:
    """Return the stage before anything was drawn."""
    frames = "".join(f'<i class="frame frame-{name}"></i>' for name in ("tall", "square", "wide"))
    return (
        f'<div class="stage empty"><div class="frames" aria-hidden="true">{frames}</div>'
        f"<p>{escape(texts['welcome'])}</p></div>"
    )


def working(progress: Progress | None, preview: str, size: tuple[int, int], texts: Texts) -> str:
    """Return the stage while a job waits or is drawn; `preview` is an address or empty."""
    if progress is None or (progress.step == 0 and progress.ahead):
        words = [texts["waiting"]]
        if progress is not None:
            words.append(texts["ahead"].format(count=progress.ahead))
    else:
        words = [texts["drawing"].format(step=progress.step, steps=progress.steps)]
    if progress is not None and progress.eta_seconds >= 1:
        words.append(texts["eta"].format(seconds=round(progress.eta_seconds)))
    share = 0.0 if progress is None else progress.step / progress.steps
    shown = f'<img class="preview" src="{preview}" alt="{escape(texts["preview"])}">' if preview else ""
    label = escape(" · ".join(words))
    return (
        f'<div class="stage busy"><div class="paper" style="{_shape(*size)}">{shown}</div>'
        f'<div class="progress"><progress max="1" value="{share:.3f}" aria-label="{label}"></progress>'
        f'<p role="status">{label}</p></div></div>'
    )


def message(title: str, text: str, texts: Texts) -> str:
    """Return the stage when there is something to say instead of a picture."""
    heading = f"<strong>{escape(title)}</strong>" if title else ""
    kind = "failed" if title == texts["failed"] else "quiet"
    return f'<div class="stage {kind}"><div role="alert">{heading}<p>{escape(text)}</p></div></div>'


def pictures(entries: Sequence[Entry], first: int, texts: Texts) -> str:
    """Return the stage with finished pictures; in the gallery the first of them has the index `first`."""
    figures = "".join(_figure(entry, first + index, texts) for index, entry in enumerate(entries))
    prompt = escape(entries[0].prompt)
    return (
        f'<div class="stage done count-{min(len(entries), 4)}"><div class="figures">{figures}</div>'
        f'<p class="caption" title="{prompt}">{prompt}</p></div>'
    )


def gallery(entries: Sequence[Entry], texts: Texts) -> str:
    """Return the strip of all pictures of the session, or nothing."""
    if not entries:
        return ""
    items = "".join(
        f'<li><button type="button" data-action="show" data-index="{index}" title="{escape(entry.prompt)}">'
        f'<img loading="lazy" src="{address(entry)}" alt="{escape(texts["show"].format(seed=entry.seed))}">'
        "</button></li>"
        for index, entry in enumerate(entries)
    )
    return f"<h2>{escape(texts['gallery'])}</h2><ul>{items}</ul>"


def address(entry: Entry) -> str:
    """Return where the browser finds a picture, seen from the page."""
    return "gradio_api/file=" + quote(entry.file)


def preview_address(image: Image) -> str:
    """Return a small version of `image` as a `data:` address."""
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=PREVIEW_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _figure(entry: Entry, index: int, texts: Texts) -> str:
    def button(action: str) -> str:
        return (
            f'<button type="button" class="tool" data-action="{action}" data-index="{index}">'
            f"{icon(action)}<span>{escape(texts[action])}</span></button>"
        )

    source = address(entry)
    return (
        f'<figure><img src="{source}" width="{entry.width}" height="{entry.height}" '
        f'alt="{escape(entry.prompt)}" style="{_shape(entry.width, entry.height)}">'
        f'<figcaption><a class="tool" href="{source}" download>'
        f"{icon('download')}<span>{escape(texts['download'])}</span></a>"
        f"{button('use_seed')}{button('use_prompt')}{button('start_from')}"
        f'<output class="seed" title="{escape(texts["seed"])}">{entry.seed}</output></figcaption></figure>'
    )


def _shape(width: int, height: int) -> str:
    return f"--ratio:{width / height:.4f}"
