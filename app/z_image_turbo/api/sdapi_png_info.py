"""`/sdapi/v1/png-info`: how a picture was made, read from its file."""

import asyncio
import io

from fastapi import APIRouter
from PIL import Image
from pydantic import BaseModel

from z_image_turbo.api.infotext import read_infotext
from z_image_turbo.api.json_body import StrictRoute
from z_image_turbo.api.parts import shorten
from z_image_turbo.api.sdapi_answers import BODY_ERRORS, PngInfo
from z_image_turbo.errors import InvalidRequest
from z_image_turbo.sources import FORMATS, decode_base64

TEXT_CHARS_MAX = 2**16  # of one text in the file

upload_router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute)


class PngInfoRequest(BaseModel):
    """A request for what is written in a picture."""

    image: str


@upload_router.post("/png-info", responses=BODY_ERRORS)
async def png_info(wanted: PngInfoRequest) -> PngInfo:
    """Answer with the text that says how the picture was made; it is empty where there is none."""
    return await asyncio.to_thread(_read, wanted.image)


def _read(text: str) -> PngInfo:
    """Read the texts at the head of the file, whose size Pillow bounds; no pixel is decoded."""
    try:
        with Image.open(io.BytesIO(decode_base64(text)), formats=FORMATS) as opened:
            texts = {
                str(name): shorten(value, TEXT_CHARS_MAX)
                for name, value in opened.info.items()
                if isinstance(value, str)
            }
    except InvalidRequest as error:
        error.field = "image"
        raise
    except Exception:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        raise InvalidRequest(
            f"is not a picture that can be read ({', '.join(FORMATS)}).", field="image"
        ) from None
    info = texts.pop("parameters", "")
    return {"info": info, "items": texts, "parameters": read_infotext(info) if info else {}}
