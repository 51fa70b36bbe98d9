"""Build a small Z-Image model with random weights, for tests and for the local demo.

usage: python scripts/build_tiny_model.py --output DIR [--seed 0]

The folder has the layout of the real model and is made of the real classes, so everything but the look of the
pictures is as in production: they are noise. It weighs about 3 MB and draws 256x256 in about a tenth of a
second on one CPU thread. `sha256sum --check SHA256SUMS` inside the folder verifies it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "SHA256SUMS"
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
TEXT_WIDTH = 64
TRANSFORMER_WIDTH = 64
TRANSFORMER_HEADS = 4
LATENT_CHANNELS = 16


def build_tokenizer() -> Any:  # noqa: ANN401 - transformers has no types
    """Return a Qwen2 tokenizer that knows every byte and no merge: any language, no training."""
    from tokenizers import pre_tokenizers  # noqa: PLC0415 - heavy, and not needed when the folder is there
    from transformers import Qwen2Tokenizer  # noqa: PLC0415

    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *SPECIAL_TOKENS]
    tokenizer = Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_text_encoder(tokenizer: Any) -> Any:  # noqa: ANN401
    """Return a Qwen3 of two layers; the pipeline reads the last but one."""
    from transformers import Qwen3Config, Qwen3Model  # noqa: PLC0415

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=TEXT_WIDTH // 4,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    return Qwen3Model(config).eval()


def build_vae() -> Any:  # noqa: ANN401
    """Return an autoencoder with the real one's geometry: sides divided by 8, 16 latent channels."""
    from diffusers import AutoencoderKL  # noqa: PLC0415

    widths = (8, 16, 16, 16)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=LATENT_CHANNELS,
        sample_size=256,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def build_transformer() -> Any:  # noqa: ANN401
    """Return a diffusion transformer of two layers."""
    from diffusers import ZImageTransformer2DModel  # noqa: PLC0415

    head_width = TRANSFORMER_WIDTH // TRANSFORMER_HEADS
    return ZImageTransformer2DModel(
        in_channels=LATENT_CHANNELS,
        dim=TRANSFORMER_WIDTH,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=TRANSFORMER_HEADS,
        n_kv_heads=TRANSFORMER_HEADS,
        cap_feat_dim=TEXT_WIDTH,
        # The three axes of the rotary embedding share the head: caption position, height, width.
        axes_dims=[head_width // 2, head_width // 4, head_width // 4],
        axes_lens=[1536, 512, 512],
    ).eval()


def save_model(folder: Path, seed: int) -> None:
    """Write the whole pipeline into `folder`; the same seed gives the same bytes."""
    import torch  # noqa: PLC0415
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline  # noqa: PLC0415
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0),
        vae=build_vae(),
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=build_transformer(),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def manifest_of(folder: Path) -> str:
    """Return what SHA256SUMS should hold: `<hash>  <relative path>` of every other file, sorted by path."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n"
        for path in paths
        if path != MANIFEST
    )


def verifies(folder: Path) -> bool:
    """Tell whether `folder` holds a manifest and exactly the files it lists."""
    manifest = folder / MANIFEST
    return manifest.is_file() and manifest.read_text(encoding="utf-8") == manifest_of(folder)


def make_readable(folder: Path) -> None:
    """Let other users of the host read `folder`; temporary folders and safetensors files are made private."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def build(output: Path, seed: int) -> bool:
    """Make `output` hold the model and tell whether anything had to be done.

    The work happens in a sibling that is renamed at the end: an interrupted build leaves `output` as it was.
    """
    if verifies(output):
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        save_model(unfinished, seed)
        (unfinished / MANIFEST).write_text(manifest_of(unfinished), encoding="utf-8")
        make_readable(unfinished)
        if output.exists():
            shutil.rmtree(output)
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Build a small random-weight Z-Image model.")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    options = parser.parse_args(arguments)
    built = build(options.output.resolve(), options.seed)
    print(f"{options.output}: {'built' if built else 'is complete, nothing to do'}")


if __name__ == "__main__":
    main()
