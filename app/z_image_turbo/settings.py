"""Every option of an instance: typed, read once at start, refused when wrong.

`read_settings` is the only place that looks at flags and environment.
"""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

ENVIRONMENT_PREFIX = "ZIMAGE_"
GRID = 16  # the sides of every picture are multiples of it: 8 for the autoencoder, 2 for the patches
BASE_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
LONGEST_SIDE = 8192  # the model's table of positions ends here


class SettingsRefused(Exception):  # noqa: N818 - an outcome of reading, named as one
    """The settings cannot be used; the message has one line for each that is wrong."""


def _on_grid(side: int) -> int:
    if side % GRID:
        raise ValueError(f"must be a multiple of {GRID}")
    return side


def _model_folder(path: Path) -> Path:
    if not (path / "model_index.json").is_file():
        raise ValueError(f"{path} is not a model folder (it has no model_index.json)")
    return path.resolve()


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    return path.resolve()


Side = Annotated[int, Field(ge=GRID, le=LONGEST_SIDE), AfterValidator(_on_grid)]


class Settings(BaseSettings):
    """Serve pictures from one Z-Image-Turbo model on one device. Flags win over the environment."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        cli_prog_name="app.py",
        cli_kebab_case=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_show_env_vars=True,
        cli_exit_on_error=False,
    )

    port: int = Field(7861, ge=1, le=65535, description="TCP port to listen on")
    host: str = Field("127.0.0.1", description="address to listen on")
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="proxies whose X-Forwarded-* headers count, comma separated, * for all"
    )
    principal_header: str = Field(
        "X-Principal",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="header by which those proxies name the caller; from others it does not count, and the "
        "address is the caller",
    )
    name: str = Field(
        default_factory=lambda read: f"z-image-turbo-{read['port']}",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="identity of this instance in answers, metrics and logs; z-image-turbo-<port> unless set",
    )
    release: str = Field(
        "development",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$",
        description="identifier of the deployed release",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log lines to write"
    )

    docs: bool = Field(False, description="describe the APIs at /docs and /openapi.json")

    model_path: Annotated[Path, AfterValidator(_model_folder)] = Field(description="folder of the model")
    model_name: str = Field("z-image-turbo", min_length=1, description="name of the model in the APIs")
    model_aliases: str = Field(
        "gpt-image-1,dall-e-3",
        description="other names by which callers may ask for the model, comma separated",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to draw; auto is cuda where there is one; float32 on cpu, bfloat16 on cuda"
    )
    threads: int = Field(0, ge=0, description="CPU threads of PyTorch; 0 leaves the choice to it")
    attention: Literal[
        "native", "_native_cudnn", "_native_flash", "_native_efficient", "flash", "_flash_3", "sage"
    ] = Field("native", description="attention kernel of diffusers; all but native need a GPU")
    compile: bool = Field(False, description="compile the transformer's blocks; needs a GPU and triton")
    offload: bool = Field(
        False, description="keep on the GPU only the part of the model that works, for 16 GB cards; slower"
    )
    quantize: Literal["none", "int8", "fp8"] = Field(
        "none",
        description="store the transformer's weights in 8 bits, which halves them; fp8 is faster too and "
        "needs a GPU of compute capability 8.9",
    )
    quantize_text: bool = Field(
        False, description="store the text encoder's weights in 8 bits, on any device, which saves 3.6 GB"
    )
    lora_path: Annotated[Path, AfterValidator(_folder)] | None = Field(
        None, description="folder of LoRAs (*.safetensors), which requests name without the suffix"
    )
    loras_max: int = Field(
        4, ge=1, le=64, description="LoRAs of one request, and LoRAs kept on the device once they were used"
    )
    text_cache_bytes_max: int = Field(
        64 * 2**20,
        ge=0,
        description="memory for what the text encoder made of the last prompts; 0 keeps none",
    )

    load_turns: Annotated[Path, AfterValidator(_folder)] | None = Field(
        None, description="folder by which the instances of a host take turns at loading their models"
    )
    loads_at_once: int = Field(2, ge=1, description="instances that may load at once, where they take turns")

    batch_images_max: int = Field(
        4,
        ge=1,
        le=64,
        description="most pictures that requests share a batch for; 1 draws each request alone",
    )
    batch_pixels_max: int = Field(
        768 * 768,
        ge=0,
        description="largest picture, in pixels, for which requests share a batch; a larger one fills the "
        "device alone, so that sharing only makes the first one wait",
    )
    batch_wait_ms: int = Field(
        20,
        ge=0,
        le=1000,
        description="how long a request for such a picture waits for others, in milliseconds",
    )
    stuck_seconds: float = Field(
        30,
        ge=0,
        description="silence of the device, beyond three times what the drawing should take, after which the "
        "instance counts as failed; 0 is any",
    )

    queue_max: int = Field(32, ge=1, description="jobs that may wait; one more is refused with 503")
    caller_max: int = Field(
        24, ge=1, description="jobs of one caller that may wait; more are refused with 429"
    )
    work_max: float = Field(
        512,
        gt=0,
        description="work that may wait, in million pixels x steps; 8.4 is a picture of 1024x1024 in 8 steps",
    )
    drain_seconds: float = Field(
        120, ge=0, description="longest time to finish accepted jobs after the signal to stop"
    )
    temp_dir: Path | None = Field(
        None, description="folder of the web page's pictures; a private one, removed at exit, unless set"
    )

    files_age_hours: float = Field(
        24, gt=0, description="age at which the page's pictures and uploads are removed, in hours"
    )
    files_bytes_max: int = Field(
        4 * 2**30,
        ge=2**20,
        description="size of the page's files above which the oldest are removed, in bytes",
    )
    pool_url: str | None = Field(
        None,
        description="addresses that draw the page's pictures, such as a gateway's, comma separated; this "
        "instance itself unless set, and when none can be reached",
    )
    page_examples: str | None = Field(
        None,
        description="prompts that the page offers, separated by a vertical bar; its own in two languages "
        "unless set",
    )
    page_secret: str = Field(
        "z-image-turbo",
        min_length=1,
        max_length=128,
        description="key by which the page's form and gallery lie in the browser; the same on all instances",
    )
    mcp: bool = Field(True, description="serve the tool that draws to MCP clients at /gradio_api/mcp/")
    mcp_origins: str | None = Field(
        None,
        description="web pages that may use MCP, such as https://chat.example.org, comma separated; requests "
        "of other pages are refused, programs are not pages",
    )

    steps: int = Field(8, ge=1, le=100, description="steps of a picture when the request names none")
    steps_max: int = Field(8, ge=1, le=100, description="most steps of a picture")
    side_default: Side = Field(1024, description="width and height when the request names none, in pixels")
    side_min: Side = Field(256, description="shortest side of a picture, in pixels")
    side_max: Side = Field(2048, description="longest side of a picture, in pixels")
    pixels_max: int = Field(2048 * 2048, ge=GRID * GRID, description="most pixels of a picture")
    source_pixels_max: int = Field(
        16 * 2**20, ge=GRID * GRID, description="most pixels of a picture that a request brings along"
    )
    upload_bytes_max: int = Field(
        20 * 2**20, ge=2**20, description="largest body of a request that may bring pictures along"
    )
    images_max: int = Field(4, ge=1, le=64, description="most pictures of one request")
    prompt_chars_max: int = Field(4000, ge=1, description="longest prompt, in characters")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse limits that contradict the defaults."""
        if not self.side_min <= self.side_default <= self.side_max:
            raise ValueError("side_default must lie between side_min and side_max")
        if self.side_default**2 > self.pixels_max:
            raise ValueError("pixels_max must allow side_default x side_default")
        if self.steps > self.steps_max:
            raise ValueError("steps must not exceed steps_max")
        if self.compile and self.lora_path is not None:
            raise ValueError("compile and lora_path exclude each other: every LoRA would be compiled anew")
        for url in self.pool_urls:
            if not BASE_URL.fullmatch(url):
                raise ValueError(f"pool_url: {url} is not an address like http://10.0.0.5:7860")
        if self.device == "cpu" and self.needing_gpu:
            raise ValueError(f"{self.needing_gpu[0]} needs a GPU; it cannot be had with device cpu")
        return self

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name of the model, its own first."""
        aliases = (alias.strip() for alias in self.model_aliases.split(","))
        return (self.model_name, *(alias for alias in aliases if alias and alias != self.model_name))

    @property
    def pool_urls(self) -> tuple[str, ...]:
        """The addresses that draw the page's pictures; none stands for this instance."""
        return tuple(url.strip().rstrip("/") for url in (self.pool_url or "").split(",") if url.strip())

    @property
    def mcp_pages(self) -> frozenset[str]:
        """The origins of web pages that may use MCP."""
        return frozenset(origin.strip() for origin in (self.mcp_origins or "").split(",") if origin.strip())

    @property
    def needing_gpu(self) -> list[str]:
        """The settings that ask for what only a GPU has."""
        asked = {
            "attention": self.attention != "native",
            "compile": self.compile,
            "offload": self.offload,
            "quantize: fp8": self.quantize == "fp8",
        }
        return [name for name, wanted in asked.items() if wanted]

    @property
    def log_level_number(self) -> int:
        """The level as `logging` counts."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def read_settings(arguments: Sequence[str]) -> Settings:
    """Return the settings from the command line's `arguments` and from the environment.

    Raises `SettingsRefused` on an unknown flag or `ZIMAGE_` variable, a wrong value, or a missing one.
    """
    known = {ENVIRONMENT_PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(
        variable
        for variable in os.environ
        if variable.upper().startswith(ENVIRONMENT_PREFIX) and variable.upper() not in known
    )
    if unknown:
        raise SettingsRefused("\n".join(f"{variable}: there is no such setting" for variable in unknown))
    try:
        return Settings(_cli_parse_args=list(arguments))  # type: ignore[call-arg]
    except SettingsError as error:
        raise SettingsRefused(str(error).removeprefix("error parsing CLI: ")) from None
    except ValidationError as error:
        raise SettingsRefused("\n".join(_refusals(error))) from None


def _refusals(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":
            continue  # a mere consequence of another one
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            field = str(problem["loc"][0])
            flag, variable = "--" + field.replace("_", "-"), ENVIRONMENT_PREFIX + field.upper()
            message = f"{field} ({flag}, {variable}): {message}"
        lines.append(message)
    return lines
