"""Whatever a client sends is a request of ours, or is refused with a reason."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spacedock.errors import BadRequestError
from spacedock.openai.model_names import ApiRoute, ModelNames
from spacedock.openai.translation import is_request_line, parse_body, parse_line
from spacedock.prepare import request_of

MODELS = ModelNames(spaces={"space": "space"}, specialists=dict.fromkeys(ApiRoute, "space"))
_NAMES = (
    "role content type text image_url url input_audio data format file file_data filename source media_type "
    "tool_calls function name arguments"
)
_KEYS = st.sampled_from(_NAMES.split()) | st.text(max_size=3)
_WORDS = st.sampled_from(["user", "system", "assistant", "tool", "text", "image_url", "input_audio", "file"])
_URLS = st.sampled_from(
    ["data:,", "data:image/png;base64,AA==", "file:///x", "file://%00", "data:x;base64,&"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | _WORDS | _URLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": _WORDS | JSON, "content": JSON}, optional={"tool_calls": JSON})
)
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["space", "auto", "gpt", "https://x", ""]) | JSON},
    optional={
        **{name: JSON for name in ("messages", "input", "prompt", "file", "size", "n", "stop", "system")},
        **{name: JSON for name in ("response_format", "stream_options", "tools", "temperature")},
        "messages": MESSAGES | JSON,
        "spacedock": st.dictionaries(st.sampled_from(["inputs", "endpoint", "timeout", "labels"]), JSON)
        | JSON,
    },
)


@given(route=st.sampled_from(ApiRoute), body=BODIES | JSON)
def test_a_body_of_rubbish_is_refused_with_a_reason(route: ApiRoute, body: Any) -> None:
    with contextlib.suppress(BadRequestError):
        asked = parse_body(route, body, MODELS)
        request_of({**asked.fields, "files": tuple(one.ref for one in asked.payloads)}, [*asked.payloads])


@given(
    row=st.fixed_dictionaries({"custom_id": JSON}, optional={"body": BODIES, "url": JSON, "params": BODIES})
)
def test_a_line_of_rubbish_is_refused_with_a_reason(row: Any) -> None:
    if is_request_line(row):
        with contextlib.suppress(BadRequestError):
            parse_line(row, MODELS)
