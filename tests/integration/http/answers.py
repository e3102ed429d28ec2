"""What a worker without Spaces answers to the calls of the native API."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from tests.unit.test_cli_tiers import FOUND

from spacedock._wire.rpc import Call, OnProgress, Op, Reply

VALID = {
    "works": True,
    "reason": "",
    "at": None,
    "digest": None,
    "deep": False,
    "checks": [],
    "stored": False,
}
ENTRY = {
    "description": "Tells the mood",
    "category": "text_processing",
    "input_type": "text",
    "output_type": "text",
    "port": 7860,
    "status": "available",
}
DATA: dict[Op, dict[str, Any]] = {
    Op.SEARCH: {"here": [], "spaces": [], "cached_at": None, "note": None},
    Op.RECOMMEND: {"task": "text", "category": None, "spaces": [], "advice": None},
    Op.VALIDATE: {"name": "mood", **VALID, "endpoint": None, "endpoints": [], "seconds": {}},
    Op.PULL: {"name": "mood", "image": "registry.hf.space/mood", "digest": "sha256:0", "seconds": 1.5},
    Op.SHOW: {"endpoints": [{"name": "/predict", "schema": {}, "outputs": ["Label"]}]},
    Op.TIERS: dict(FOUND),
}


async def controls(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    """A worker that knows one Space, by whatever name."""
    entry = {call.name: {"id": call.name, **ENTRY}} if call.name else {}
    return Reply(spaces=entry, data=DATA.get(call.op, {}), not_found=call.name == "none")
