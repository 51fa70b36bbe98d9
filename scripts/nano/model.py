"""The nano model: the classes of the real pipeline at a very small size, and the training's view of them."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from scripts.nano import world

if TYPE_CHECKING:
    from collections.abc import Sequence

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
SIDE = 256
LATENT_CHANNELS = 16
# The latent space is fixed beforehand: the first three channels are the mean colour (-1 to 1) of each cell of
# 8x8 pixels, the others are not in use. Dividing by the spread of the palette gives a variance of about one.
USED_CHANNELS = 3
CELL = 8
SPREAD = 0.75
PATCH = 2
CAPTION_TOKENS = 32
TEXT_WIDTH = 128
WIDTH = 128
HEADS = 4
LAYERS = 4
# Every gate of the residual stream starts half open: a closed one would stop the gradient of its block.
GATE = 0.3


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return a byte-level vocabulary in which each word of the captions is one token, and its merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415 - needed once

    every_caption = "".join(
        caption
        for scene in world.all_scenes()
        for language in world.LANGUAGES
        for caption in world.captions(scene, language)
    )
    english = {
        "user",
        "assistant",
        "a",
        "on",
        "of",
        "with",
        "picture",
        "background",
        *world.COLOURS,
        *world.SHAPES,
    }
    chinese = {name for _, name in world.COLOURS.values()} | set(itertools.chain(*world.SHAPES.values()))
    chinese |= {"背景", "一个", "一张", "图片", "上有", "上的"}
    words = sorted(
        english | {word.capitalize() for word in english} | {f" {word}" for word in english} | chinese
    )
    # Characters come first, so that words of several bytes never share a half of one.
    characters = sorted(
        {letter for letter in every_caption if not letter.isascii()} | {"。", "\N{FULLWIDTH COMMA}"}
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*words, *characters * 100], trainer)
    vocabulary = dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))
    for token in SPECIAL_TOKENS:
        vocabulary[token] = len(vocabulary)
    return vocabulary, _merges(tokenizer)


def _merges(tokenizer: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - tokenizers has no types
    """Return the merges of a tokenizer, most frequent first."""
    import json  # noqa: PLC0415 - needed once

    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def build_tokenizer() -> Any:  # noqa: ANN401 - transformers has no types
    """Return the tokenizer: words of the captions whole, anything else byte by byte."""
    vocabulary, merges = _vocabulary()
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _build_text_encoder(tokenizer: Any) -> Any:  # noqa: ANN401
    """Return a Qwen3 of two layers; the pipeline reads the last but one."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=TEXT_WIDTH // 4,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    return Qwen3Model(config)


def _build_autoencoder() -> Any:  # noqa: ANN401
    """Return an autoencoder with the real one's geometry: sides divided by 8, 16 latent channels.

    One group for all channels keeps their differences, so flat colours pass the normalisation.
    """
    widths = (8, 16, 32, 32)
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=1,
        latent_channels=LATENT_CHANNELS,
        sample_size=SIDE,
        scaling_factor=1 / SPREAD,
        shift_factor=0.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        autoencoder.decoder.conv_in.weight[:, USED_CHANNELS:] = 0
        autoencoder.encoder.conv_out.weight[USED_CHANNELS:] = 0
        autoencoder.encoder.conv_out.bias[USED_CHANNELS:] = 0
        # The logarithm of the variance: the encoder has no doubt.
        autoencoder.encoder.conv_out.bias[LATENT_CHANNELS:] = -20
    return autoencoder


def _build_transformer() -> Any:  # noqa: ANN401
    """Return a diffusion transformer that reads and writes the used channels only, with open gates."""
    transformer = ZImageTransformer2DModel(
        in_channels=LATENT_CHANNELS,
        dim=WIDTH,
        n_layers=LAYERS,
        n_refiner_layers=1,
        n_heads=HEADS,
        n_kv_heads=HEADS,
        cap_feat_dim=TEXT_WIDTH,
        axes_dims=[8, 12, 12],
        axes_lens=[1536, 512, 512],
    )
    with torch.no_grad():
        # Unused channels get no gradient (their inputs and losses are nothing), so what is zero stays zero.
        reader = transformer.all_x_embedder["2-1"]
        reader.weight.view(WIDTH, PATCH * PATCH, LATENT_CHANNELS)[:, :, USED_CHANNELS:] = 0
        final = transformer.all_final_layer["2-1"]
        final.linear.weight.zero_()
        final.linear.bias.zero_()
        final.adaLN_modulation[1].weight.mul_(0.1)
        for block in [*transformer.noise_refiner, *transformer.layers]:
            modulation = block.adaLN_modulation[0]
            modulation.weight.mul_(0.1)
            modulation.bias.zero_()
            for gate in (1, 3):
                modulation.bias[gate * WIDTH : (gate + 1) * WIDTH] = GATE
    return transformer


def build_pipeline(seed: int) -> Any:  # noqa: ANN401 - diffusers has no types
    """Return the untrained pipeline."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0),
        vae=_build_autoencoder(),
        text_encoder=_build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=_build_transformer(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tokenize(tokenizer: Any, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """Return the tokens of captions as the pipeline asks for them, padded to `CAPTION_TOKENS`, and a mask."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": caption}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        for caption in captions
    ]
    encoded = tokenizer(texts, padding="max_length", max_length=CAPTION_TOKENS, return_tensors="pt")
    return encoded.input_ids, encoded.attention_mask


def encode(text_encoder: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """Return the hidden states of captions that the pipeline hands to the transformer."""
    states: torch.Tensor = text_encoder(
        input_ids=ids, attention_mask=mask, output_hidden_states=True
    ).hidden_states[-2]
    return states


def patches(latents: torch.Tensor) -> torch.Tensor:
    """Return latents (batch, channels, height, width) as tokens (batch, tokens, values)."""
    batch, channels, height, width = latents.shape
    cut = latents.view(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, PATCH * PATCH * channels)


def velocity(  # noqa: PLR0913, PLR0917 - as many as the model's own forward has, and the choice of tokens
    transformer: Any,  # noqa: ANN401
    tokens: torch.Tensor,
    places: torch.Tensor,
    time: torch.Tensor,
    states: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Return the transformer's answer for some tokens of each picture: its own forward, without lists.

    `tokens` are patches (batch, tokens, values); `places` their rows and columns (tokens, 2), the same for
    the whole batch; `states` and `mask` are captions padded to `CAPTION_TOKENS`. Training with a part of the
    tokens costs a part of the time; with all of them (a multiple of 32), this equals the class's own forward.
    """
    device = tokens.device
    modulation = transformer.t_embedder(time * transformer.t_scale).type_as(tokens)
    picture_ids = torch.cat([torch.full_like(places[:, :1], CAPTION_TOKENS + 1), places], dim=1)
    caption_ids = torch.zeros(CAPTION_TOKENS, 3, dtype=torch.long, device=device)
    caption_ids[:, 0] = torch.arange(1, CAPTION_TOKENS + 1, device=device)
    picture_turns = transformer.rope_embedder(picture_ids)[None]
    caption_turns = transformer.rope_embedder(caption_ids)[None]

    picture = transformer.all_x_embedder["2-1"](tokens)
    for block in transformer.noise_refiner:
        picture = block(picture, None, picture_turns, modulation)
    caption = transformer.cap_embedder(states)
    caption = torch.where(mask[..., None].bool(), caption, transformer.cap_pad_token.type_as(caption))
    for block in transformer.context_refiner:
        caption = block(caption, None, caption_turns)
    unified = torch.cat([picture, caption], dim=1)
    turns = torch.cat([picture_turns, caption_turns], dim=1)
    for block in transformer.layers:
        unified = block(unified, None, turns, modulation)
    answer: torch.Tensor = transformer.all_final_layer["2-1"](unified, c=modulation)[:, : tokens.shape[1]]
    return answer
