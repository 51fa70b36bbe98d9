"""Multiplies matrices on every GPU, and compares bfloat16 with float32.

usage: calculate.py NUMBER_OF_GPUS
Prints a line for each GPU; ends with a message where one is missing, cannot calculate, or is wrong.
"""

import sys
import time

import torch

SIDE = 8192
ROUNDS = 10
TOLERANCE = 0.02  # of the largest element; bfloat16 keeps 8 bits

expected = int(sys.argv[1])
if torch.cuda.device_count() != expected:
    sys.exit(f"PyTorch sees {torch.cuda.device_count()} GPUs, and {expected} are expected")
for number in range(expected):
    with torch.cuda.device(number):
        left, right = (torch.randn(SIDE, SIDE, device="cuda") for _ in range(2))
        exact = left @ right
        short, other = left.bfloat16(), right.bfloat16()
        product = short @ other
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(ROUNDS):
            product = short @ other
        torch.cuda.synchronize()
        rate = 2 * SIDE**3 * ROUNDS / (time.perf_counter() - started) / 1e12
        error = ((product.float() - exact).abs().max() / exact.abs().max()).item()
    name = torch.cuda.get_device_name(number)
    print(f"GPU {number}: {name}, {rate:.0f} TFLOP/s in bfloat16, error {error:.4f}")
    if not error < TOLERANCE:
        sys.exit(f"GPU {number} calculates wrongly: an error of {error}, and at most {TOLERANCE} is rounding")
