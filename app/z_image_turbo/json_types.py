"""Numbers and flags of a request, of their own JSON type: a text is no number, and a number no flag."""

from typing import Annotated

from pydantic import BeforeValidator, Strict
from pydantic_core import PydanticCustomError


def _no_text(value: object) -> object:
    if isinstance(value, str | bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


# 512.0 is an integer, as JSON sees it.
Integer = Annotated[int, BeforeValidator(_no_text)]
Number = Annotated[float, BeforeValidator(_no_text)]
Flag = Annotated[bool, Strict()]
