import asyncio
import hashlib
import time
from pathlib import Path

from fastapi import FastAPI, File, Response, UploadFile
from pydantic import BaseModel

app = FastAPI(title="Counting")

TEXT_SECONDS, FILE_SECONDS = 0.4, 1.0
# In the Space's cache volume, which outlives its containers.
CALLS = Path.home() / ".cache" / "calls"


class Text(BaseModel):
    text: str


def note(asked):
    with CALLS.open("a") as calls:
        calls.write(f"{time.time()} {hashlib.sha256(asked).hexdigest()}\n")


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/shout")
async def shout(body: Text):
    note(body.text.encode())
    await asyncio.sleep(TEXT_SECONDS)
    return {"text": body.text.upper()}


@app.post("/reversed", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
async def reverse(file: UploadFile = File(...)):
    data = await file.read()
    note(data)
    await asyncio.sleep(FILE_SECONDS)
    headers = {"Content-Disposition": 'attachment; filename="reversed.bin"'}
    return Response(data[::-1], media_type="application/octet-stream", headers=headers)
