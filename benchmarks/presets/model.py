"""The model with random weights, by the configuration of the released one: it draws noise, at the same cost.

"small" has the same parts and layers of the same kinds, for a machine without a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

TOKENIZER = Path(__file__).parents[2] / "models" / "nano" / "tokenizer"  # a text costs by its tokens alone


class Size(NamedTuple):
    """What the three networks are built with."""

    transformer: dict[str, Any]
    text: dict[str, Any]
    autoencoder: dict[str, Any]


SIZES = {
    "full": Size(
        transformer={"dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30}
        | {"cap_feat_dim": 2560, "axes_dims": [32, 48, 48]},
        text={"vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36}
        | {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
        autoencoder={
            "block_out_channels": (128, 256, 512, 512),
            "layers_per_block": 2,
            "norm_num_groups": 32,
        },
    ),
    "small": Size(
        transformer={"dim": 64, "n_layers": 2, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
        | {"cap_feat_dim": 64, "axes_dims": [8, 12, 12]},
        text={"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
        autoencoder={"block_out_channels": (8, 16, 16, 16), "layers_per_block": 1, "norm_num_groups": 8},
    ),
}


def build(size: Size) -> Any:  # noqa: ANN401 - diffusers has no types
    """Return the pipeline, on a GPU if there is one, in the precision that the application draws in."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            transformer = ZImageTransformer2DModel(**size.transformer, axes_lens=[1536, 512, 512])
            text_encoder = Qwen3Model(
                Qwen3Config(
                    **size.text,
                    tie_word_embeddings=True,
                    rope_parameters={"rope_type": "default", "rope_theta": 1e6},
                )
            )
            autoencoder = AutoencoderKL(
                **size.autoencoder,
                latent_channels=16,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            )
    finally:
        torch.set_default_dtype(before)
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0),
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=Qwen2Tokenizer.from_pretrained(TOKENIZER),
        transformer=transformer,
    )


def write(size: str, folder: Path) -> dict[str, float]:
    """Write the model to a folder, as a download of it would be; return its parameters in billions."""
    pipeline = build(SIZES[size])
    pipeline.save_pretrained(folder)
    return {
        name: sum(weights.numel() for weights in getattr(pipeline, name).parameters()) / 1e9
        for name in ("transformer", "text_encoder", "vae")
    }
