"""The form of the page: its fields, the sizes it offers, and its words in the chosen language."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import gradio as gr

from z_image_turbo.page_memory import blank_form
from z_image_turbo.page_texts import LANGUAGES, TRANSLATIONS
from z_image_turbo.pictures import SEED_BY_LOT, SEED_MAX, round_to_grid
from z_image_turbo.settings import GRID

if TYPE_CHECKING:
    from z_image_turbo.settings import Settings

RATIOS = ((1, 1), (4, 3), (3, 4), (16, 9), (9, 16))
FREE = "free"
STRENGTH = 0.6
EXAMPLES = {
    "en": (
        "A red fox in fresh snow, low morning sun, soft focus",
        "A lighthouse in a storm, oil painting, thick brush strokes",
        'A cosy bookshop window at night, a sign that says "OPEN LATE"',
    ),
    "zh": (
        "雪地里的一只赤狐，清晨的阳光，柔和的景深",  # noqa: RUF001
        "江南水乡的清晨，薄雾，小桥流水，水墨画风格",  # noqa: RUF001
        "夜晚的茶馆门口，红灯笼，招牌上写着“欢迎光临”",  # noqa: RUF001
    ),
}
words = gr.I18n(**TRANSLATIONS)


@dataclass(frozen=True)
class FormParts:
    """The components of the form."""

    prompt: gr.Textbox
    examples: gr.Dataset
    generate: gr.Button
    cancel: gr.Button
    ratio: gr.Radio
    width: gr.Number
    height: gr.Number
    count: gr.Slider
    seed: gr.Number
    dice: gr.Button
    advanced: gr.Accordion
    steps: gr.Slider
    source_fold: gr.Accordion
    source: gr.Image
    strength: gr.Slider

    @property
    def remembered(self) -> list[gr.components.Component]:
        """The fields that the browser keeps, in the order of `restoring_script`."""
        return [self.prompt, self.width, self.height, self.count, self.seed, self.steps]

    @property
    def spoken(self) -> list[gr.blocks.Block]:
        """The components with words, in the order of `in_language`."""
        return [getattr(self, field.name) for field in fields(self)]


def size_choices(settings: Settings) -> dict[str, tuple[int, int]]:
    """Return the offered sizes by their ratios: about the default's area each, as far as they are allowed."""
    choices = {}
    for across, down in RATIOS:
        width = round_to_grid(round(settings.side_default * math.sqrt(across / down)))
        height = round_to_grid(round(settings.side_default * math.sqrt(down / across)))
        if settings.side_min <= min(width, height) and max(width, height) <= settings.side_max:
            choices[f"{across}:{down}"] = (width, height)
    return choices


def ratio_of(width: int, height: int, settings: Settings) -> str:
    """Return the ratio under which a size is offered, or `free`."""
    return next((name for name, size in size_choices(settings).items() if size == (width, height)), FREE)


def restoring_script(settings: Settings) -> str:
    """Return the function that makes the remembered fields, and the ratio, of what the browser kept.

    It leaves alone what somebody has changed already, while the page was loading.
    """
    facts = {
        "blank": blank_form(settings),
        "sizes": size_choices(settings),
        "prompt": settings.prompt_chars_max,
        "sides": [settings.side_min, settings.side_max],
        "count": [1, settings.images_max],
        "steps": [1, settings.steps_max],
        "free": FREE,
    }
    return f"""(kept, prompt, width, height, count, seed, steps) => {{
      const facts = {json.dumps(facts)};
      const now = {{prompt, width, height, count, seed, steps}};
      const within = (value, [low, high]) => Math.min(Math.max(Number(value) || low, low), high);
      const form = {{...kept}};
      for (const name in now) if (now[name] !== facts.blank[name]) form[name] = now[name];
      width = within(form.width, facts.sides), height = within(form.height, facts.sides);
      const ratio = Object.keys(facts.sizes).find(name =>
        facts.sizes[name][0] === width && facts.sizes[name][1] === height) ?? facts.free;
      document.documentElement.lang = form.language || (navigator.language.startsWith('zh') ? 'zh' : 'en');
      prompt = String(form.prompt ?? '').slice(0, facts.prompt);
      count = within(form.count, facts.count), steps = within(form.steps, facts.steps);
      return [prompt, width, height, count, Number(form.seed ?? -1), steps, ratio];
    }}"""


def examples_for(language: str, settings: Settings) -> list[list[str]]:
    """Return the prompts to offer, one a row."""
    own = [text.strip() for text in (settings.page_examples or "").split("|") if text.strip()]
    return [[text] for text in own or EXAMPLES[language]]


def build_compose(settings: Settings) -> tuple[gr.Textbox, gr.Dataset, gr.Button, gr.Button]:
    """Make what comes first: the prompt, examples of it, and the buttons."""
    prompt = gr.Textbox(
        label=words("prompt"),
        placeholder=words("prompt_hint"),
        lines=4,
        max_lines=12,
        max_length=settings.prompt_chars_max,
        autofocus=True,
        elem_id="prompt",
    )
    with gr.Row(elem_id="buttons"):
        # Not before the page is restored, which would take the drawn picture for what was there before.
        generate = gr.Button(words("generate"), variant="primary", interactive=False, elem_id="generate")
        cancel = gr.Button(words("cancel"), visible=False, elem_id="cancel")
    examples = gr.Dataset(
        components=[gr.Textbox(visible=False)],
        samples=examples_for("en", settings),
        label=words("examples"),
        elem_id="examples",
        type="values",
    )
    return prompt, examples, generate, cancel


def build_options(settings: Settings) -> dict[str, Any]:
    """Make what may stay as it is."""
    side = settings.side_default
    limits = {"minimum": settings.side_min, "maximum": settings.side_max, "step": GRID, "precision": 0}
    parts: dict[str, Any] = {}
    parts["ratio"] = gr.Radio(
        [*size_choices(settings), (words(FREE), FREE)],
        value="1:1",
        label=words("ratio"),
        elem_id="ratio",
    )
    with gr.Row(elem_id="sides", elem_classes="pair"):
        parts["width"] = gr.Number(side, label=words("width"), elem_id="width", min_width=80, **limits)
        parts["height"] = gr.Number(side, label=words("height"), elem_id="height", min_width=80, **limits)
    parts["count"] = gr.Slider(
        1,
        settings.images_max,
        1,
        step=1,
        label=words("count"),
        elem_id="count",
        visible=settings.images_max > 1,
    )
    with gr.Row(elem_id="seeds", elem_classes="pair"):
        parts["seed"] = gr.Number(
            SEED_BY_LOT,
            label=words("seed"),
            info=words("seed_hint"),
            precision=0,
            minimum=SEED_BY_LOT,
            maximum=SEED_MAX,
            elem_id="seed",
        )
        parts["dice"] = gr.Button(words("dice"), elem_id="dice", size="sm")
    with gr.Accordion(words("source"), open=False, elem_id="source_fold") as parts["source_fold"]:
        parts["source"] = gr.Image(
            label=words("source_picture"),
            sources=["upload", "clipboard"],
            type="filepath",
            image_mode=None,  # as it was uploaded: whoever reads it checks its size before
            height=200,
            buttons=[],
            elem_id="source",
        )
        parts["strength"] = gr.Slider(
            0.05,
            1,
            STRENGTH,
            step=0.05,
            label=words("strength"),
            info=words("strength_hint"),
            elem_id="strength",
        )
    with gr.Accordion(words("advanced"), open=False, elem_id="advanced") as parts["advanced"]:
        parts["steps"] = gr.Slider(
            1,
            settings.steps_max,
            settings.steps,
            step=1,
            label=words("steps"),
            info=words("steps_hint"),
            elem_id="steps",
        )
    return parts


def in_language(language: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the updates that bring every word of the form into `language`, in the order of `spoken`."""
    texts = LANGUAGES[language]

    def labelled(key: str, **more: object) -> dict[str, Any]:
        update: dict[str, Any] = gr.update(label=texts[key], **more)
        return update

    updates = {
        "prompt": labelled("prompt", placeholder=texts["prompt_hint"]),
        "examples": labelled("examples", samples=examples_for(language, settings)),
        "generate": gr.update(value=texts["generate"]),
        "cancel": gr.update(value=texts["cancel"]),
        "ratio": labelled("ratio", choices=[*size_choices(settings), (texts[FREE], FREE)]),
        "seed": labelled("seed", info=texts["seed_hint"]),
        "dice": gr.update(value=texts["dice"]),
        "steps": labelled("steps", info=texts["steps_hint"]),
        "source_fold": labelled("source"),
        "source": labelled("source_picture"),
        "strength": labelled("strength", info=texts["strength_hint"]),
    }
    return [updates.get(field.name) or labelled(field.name) for field in fields(FormParts)]
