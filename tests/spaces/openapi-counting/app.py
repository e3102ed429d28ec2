import asyncio
import hashlib
from collections import Counter

from fastapi import FastAPI, File, Response, UploadFile
from pydantic import BaseModel

app = FastAPI(title="Counting")

TEXT_SECONDS, FILE_SECONDS = 0.4, 1.0
CALLS = Counter()


class Text(BaseModel):
    text: str


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/shout")
async def shout(body: Text):
    CALLS[body.text] += 1
    await asyncio.sleep(TEXT_SECONDS)
    return {"text": body.text.upper()}


@app.post("/reversed", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
async def reverse(file: UploadFile = File(...)):
    data = await file.read()
    CALLS[hashlib.sha256(data).hexdigest()] += 1
    await asyncio.sleep(FILE_SECONDS)
    headers = {"Content-Disposition": 'attachment; filename="reversed.bin"'}
    return Response(data[::-1], media_type="application/octet-stream", headers=headers)


@app.post("/calls")
async def calls(body: Text):
    return dict(CALLS)
