import base64
import struct
import zlib
from typing import Optional

from fastapi import FastAPI, File, Form, HTTPException, Response, UploadFile
from pydantic import BaseModel

app = FastAPI(title="Negative")

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Picture(BaseModel):
    image_base64: str
    note: Optional[str] = None


def chunks(data):
    place = len(SIGNATURE)
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += length + 12


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def negative(data):
    """The negative of an 8-bit RGB picture whose lines are stored without a filter."""
    if not data.startswith(SIGNATURE):
        raise HTTPException(415, "only PNG pictures can be read")
    parts = dict(chunks(data))
    width, height = struct.unpack_from(">II", parts[b"IHDR"])
    pixels = bytearray(zlib.decompress(parts[b"IDAT"]))
    line = 1 + 3 * width
    for place in range(len(pixels)):
        if place % line:
            pixels[place] ^= 255
    body = chunk(b"IHDR", parts[b"IHDR"]) + chunk(b"IDAT", zlib.compress(bytes(pixels))) + chunk(b"IEND", b"")
    return SIGNATURE + body


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/negative", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def from_file(image: UploadFile = File(...), copies: int = Form(1)):
    data = await image.read()
    for _ in range(copies):
        data = negative(data)
    headers = {"Content-Disposition": f'attachment; filename="negative-{image.filename}"'}
    return Response(data, media_type="image/png", headers=headers)


@app.post("/negative/json")
def from_json(picture: Picture):
    data = negative(base64.b64decode(picture.image_base64))
    return {"image_base64": base64.b64encode(data).decode(), "caption": picture.note or "negative"}


@app.post("/sizes")
async def sizes(files: list[UploadFile]):
    return {file.filename: len(await file.read()) for file in files}
