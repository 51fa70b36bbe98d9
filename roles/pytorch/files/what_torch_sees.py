"""Prints as JSON what PyTorch sees of the GPUs: its version and CUDA level, how many, and why not."""

import json
import warnings

import torch

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "cuda": torch.version.cuda or "",
            "gpus": gpus,
            "error": " ".join(str(caught[0].message).split()) if caught and not gpus else "",
        }
    )
)
