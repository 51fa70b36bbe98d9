# ruff: noqa: N818 - errors are named after what happened
"""Everything that may go wrong in a way a caller can be told about.

Each error has a `word` (a stable public identifier), an HTTP `status` and a message that is safe to show.
How it is spelled in an answer is the business of `api.errors`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServiceError(Exception):
    """Base of the errors that callers see."""

    status = 500
    word = "internal_error"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_seconds: int | None = None
    ) -> None:
        """Keep what happened, the request's field at fault, and when trying again makes sense."""
        super().__init__(message)
        self.field = field
        self.retry_after_seconds = retry_after_seconds

    @property
    def message(self) -> str:
        """What to tell the caller; it begins with the field at fault if there is one."""
        return f"{self.field}: {self.args[0]}" if self.field else str(self.args[0])


class InvalidRequest(ServiceError):
    """The request cannot be served as it is, now or later."""

    status = 400
    word = "invalid_request"


@contextmanager
def at_field(field: str) -> Iterator[None]:
    """Have an `InvalidRequest` out of the block say which field of the request is at fault."""
    try:
        yield
    except InvalidRequest as error:
        error.field = field
        raise


class InvalidSize(InvalidRequest):
    """The picture's size is outside the limits or off the grid."""

    word = "invalid_size"


class BodyTooLarge(ServiceError):
    """The body has more bytes than the call takes."""

    status = 413
    word = "request_entity_too_large"


class UnsupportedMediaType(ServiceError):
    """The body is of another kind than the call takes."""

    status = 415
    word = "unsupported_media_type"


class KeyReused(ServiceError):
    """An Idempotency-Key comes again with another request than the first time."""

    status = 422
    word = "idempotency_key_reused"


class NotServed(ServiceError):
    """There is no such call."""

    status = 404
    word = "not_found"


class NotImplementedHere(ServiceError):
    """The call is known, and nothing is behind it."""

    status = 501
    word = "not_implemented"


class UnknownModel(ServiceError):
    """The request names a model that this instance does not hold."""

    status = 404
    word = "model_not_found"


class UnknownLora(InvalidRequest):
    """The request names a LoRA that is not in the folder."""

    word = "lora_not_found"


class LoraUnusable(InvalidRequest):
    """The LoRA is there and cannot be used with this model."""

    word = "lora_unusable"


class CallerGone(ServiceError):
    """The caller hung up before the answer; the status is never received, only logged."""

    status = 499
    word = "caller_gone"


class Cancelled(ServiceError):
    """The caller gave the job up by another call, while this one was waiting for it."""

    status = 409
    word = "cancelled"


class JobFailed(ServiceError):
    """The engine failed on this job, for a reason that is in the log."""

    word = "job_failed"


class BrokenPicture(ServiceError):
    """What was drawn is no picture: not a number, or black all over."""

    word = "broken_picture"


class OutOfMemory(ServiceError):
    """The device has no memory for this job; another instance may have."""

    status = 503
    word = "out_of_memory"


class Refused(ServiceError):
    """The instance takes no job at the moment; another one may."""

    status = 503
    word = "no_capacity"


class ModelLoading(Refused):
    """The model is still being loaded or warmed up."""

    word = "model_loading"


class QueueFull(Refused):
    """As many jobs, or as much work, wait as may."""

    word = "queue_full"


class CallerQueueFull(Refused):
    """As many jobs of this caller wait as may; another instance would be no help."""

    status = 429
    word = "caller_queue_full"


class ShuttingDown(Refused):
    """The instance finishes what it accepted and then leaves."""

    word = "shutting_down"


class Paused(Refused):
    """The operator has asked the instance to take no jobs for a while."""

    word = "paused"


class NotAllowed(ServiceError):
    """The call is not for this caller."""

    status = 403
    word = "permission_denied"


class NotNow(ServiceError):
    """The state of the instance does not allow this call."""

    status = 409
    word = "conflict"


class InstanceFailed(Refused):
    """The instance is broken and waits to be restarted."""

    word = "instance_failed"


class DeviceLost(Exception):
    """The engine cannot draw any more; raised to the worker, never shown to a caller."""
