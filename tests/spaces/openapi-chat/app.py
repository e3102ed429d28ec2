import time
from typing import Literal, Optional

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI(title="Echo chat")


class Message(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str


class Completion(BaseModel):
    model: str = "echo"
    messages: list[Message] = Field(min_length=1)
    temperature: float = Field(1.0, ge=0, le=2)
    max_tokens: Optional[int] = None
    stop: Optional[list[str]] = None
    user: Optional[str] = None


@app.get("/v1/models")
def models():
    return {"object": "list", "data": [{"id": "echo", "object": "model"}]}


@app.post("/v1/chat/completions")
def complete(request: Completion):
    words = request.messages[-1].content.split()[: request.max_tokens]
    message = {"role": "assistant", "content": "You said: " + " ".join(words)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
