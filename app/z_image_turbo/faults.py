"""What an error out of PyTorch means for the jobs that come after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from z_image_turbo.errors import DeviceLost, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def as_fault(error: Exception, probe: Callable[[], None]) -> Exception:
    """Return what `error` is: `OutOfMemory`, `DeviceLost`, or itself where the next job may go well.

    The same text can come from a device that is gone and from one odd job; after most errors of CUDA every
    further call fails. So the device is asked by `probe`, which raises when it does not compute any more.
    """
    if means_no_memory(error):
        return OutOfMemory("The device has not enough memory for these pictures.")
    if isinstance(error, RuntimeError):  # PyTorch raises no other for what goes wrong on a device
        try:
            probe()
        except Exception as gone:  # noqa: BLE001 - whatever it is, nothing can be drawn
            return DeviceLost(f"{first_line(error)} (and the device does not compute: {first_line(gone)})")
    return error


def means_no_memory(error: Exception) -> bool:
    """Tell whether `error` says that there is not enough memory, on the device or on the machine."""
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)
    return told or isinstance(error, MemoryError)


def first_line(error: Exception) -> str:
    """Return the error's kind and the first line of its text."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
