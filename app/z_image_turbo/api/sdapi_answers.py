"""The shapes of the web UI's API, as its clients read them."""

from typing import Any

from typing_extensions import TypedDict

from z_image_turbo.api.answers import DRAWING, WebUIError, errors

BODY_ERRORS = errors(WebUIError, 413, 415, 422)
DRAWN_ERRORS = errors(WebUIError, *DRAWING)
OPTIONS_ERRORS = BODY_ERRORS | errors(WebUIError, 404)
QUERY_ERRORS = errors(WebUIError, 422)


class Drawn(TypedDict):
    """Pictures in base64, the request, and what was really used as a text of JSON."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class PngInfo(TypedDict):
    """What is written in a picture."""

    info: str
    items: dict[str, str]
    parameters: dict[str, str]


class State(TypedDict):
    """Where the caller's jobs are."""

    skipped: bool
    interrupted: bool
    stopping_generation: bool
    job: str
    job_count: int
    job_timestamp: str
    job_no: int
    sampling_step: int
    sampling_steps: int


class Progress(TypedDict):
    """How far a job is; `progress` is a share and `eta_relative` is in seconds."""

    progress: float
    eta_relative: float
    state: State
    current_image: str | None
    textinfo: str | None


class Model(TypedDict):
    """A model that can be chosen."""

    title: str
    model_name: str
    hash: str | None
    sha256: str | None
    filename: str
    config: str | None


class Options(TypedDict):
    """The options that clients read."""

    sd_model_checkpoint: str
    sd_checkpoint_hash: str | None
    sd_vae: str
    samples_format: str
    CLIP_stop_at_last_layers: int


class Sampler(TypedDict):
    """A sampler that can be chosen."""

    name: str
    aliases: list[str]
    options: dict[str, str]


class Scheduler(TypedDict):
    """A schedule that can be chosen."""

    name: str
    label: str
    aliases: list[str] | None
    default_rho: float
    need_inner_model: bool


class Upscaler(TypedDict):
    """An upscaler that can be chosen."""

    name: str
    model_name: str | None
    model_path: str | None
    model_url: str | None
    scale: float


class Lora(TypedDict):
    """A LoRA that prompts may name."""

    name: str
    alias: str
    path: str
    metadata: dict[str, Any]


class Named(TypedDict):
    """Something that has but a name."""

    name: str


class Scripts(TypedDict):
    """The names of scripts."""

    txt2img: list[str]
    img2img: list[str]


class Embeddings(TypedDict):
    """Embeddings by name."""

    loaded: dict[str, Any]
    skipped: dict[str, Any]


class Memory(TypedDict):
    """Bytes of the machine's and of the device's memory."""

    ram: dict[str, int]
    cuda: dict[str, Any]
