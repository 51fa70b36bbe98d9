"""Train the nano model on synthetic captions in English and Chinese, and save it as a model folder.

usage: python -m scripts.train_nano_model --checkpoint DIR [--output DIR] [--device cpu] [--minutes 40]

Run it from the top of the repository. It may be interrupted at any time: the same command takes it up from
the checkpoint, and a larger `--minutes` trains further.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scripts.nano import release
from scripts.nano.training import Options, Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train the nano Z-Image model.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the state of training")
    parser.add_argument("--output", type=Path, help="model folder to write at the end")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--minutes", type=float, default=40.0, help="of training in all (default 40)")
    parser.add_argument("--batch", type=int, default=64, help="pictures in a step (default 64)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=2, help="drawings of each scene and language, measuring")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(
        Options(options.device, options.minutes, options.checkpoint, options.batch, options.seed)
    )
    trainer.train()
    if options.output:
        trainer.use_average()
        release.save(trainer.pipeline, options.output)
        accuracy = release.accuracy(options.output, options.times, options.seed)
        print(json.dumps({"progress": trainer.progress.curve, "accuracy": accuracy}, indent=1))


if __name__ == "__main__":
    main()
