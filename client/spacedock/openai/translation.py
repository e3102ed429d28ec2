"""From a request of OpenAI's API, or a line of a batch file, to the fields of ours (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.openai.content import Attachments, prompt_of
from spacedock.openai.model_names import ApiRoute, ModelNames
from spacedock.request import Fallback, JobRequest

OWN = "spacedock"
"""The key of a body under which a request gives what OpenAI's API has no name for, such as `inputs`."""

BATCH_ROUTES = (ApiRoute.CHAT, ApiRoute.EMBEDDINGS, ApiRoute.IMAGES, ApiRoute.TRANSCRIPTIONS)
_OWN_FIELDS = frozenset(JobRequest.model_fields) & {
    *("inputs", "endpoint", "fallback", "timeout", "priority", "keep_for", "privacy", "performance_first"),
    "labels",
}
_ANTHROPIC_MODEL = "claude"
_READ_HERE: Mapping[ApiRoute, frozenset[str]] = {
    ApiRoute.CHAT: frozenset({"messages", "system", "stream", "stream_options"}),
    ApiRoute.EMBEDDINGS: frozenset({"input", "encoding_format"}),
    ApiRoute.IMAGES: frozenset({"prompt", "response_format", "size"}),
    ApiRoute.EDITS: frozenset({"prompt", "response_format", "size", "image", "mask"}),
    ApiRoute.TRANSCRIPTIONS: frozenset({"file", "response_format"}),
    ApiRoute.SPEECH: frozenset({"input", "stream_format"}),
}
"""The parameters that are understood here, or that only say how the answer is written."""

_OF_THE_SERVICE = frozenset(
    {"model", OWN, "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)
"""Parameters of OpenAI's own service that change no answer."""

_DEFAULTS: Mapping[str, Any] = {
    "n": 1,
    "response_format": {"type": "text"},
    "stream": False,
    "timestamp_granularities": ["segment"],
}
_PICTURE_FORMS = {"response_format": ("url", "b64_json")}
_WRITTEN: Mapping[ApiRoute, Mapping[str, tuple[str, ...]]] = {
    ApiRoute.EMBEDDINGS: {"encoding_format": ("float", "base64")},
    ApiRoute.IMAGES: _PICTURE_FORMS,
    ApiRoute.EDITS: _PICTURE_FORMS,
    ApiRoute.TRANSCRIPTIONS: {"response_format": ("json", "text", "verbose_json")},
    ApiRoute.SPEECH: {"stream_format": ("audio",)},
}
"""In which forms answers are written here; chats have theirs by `stream`."""
_AS_INPUTS = {"max_completion_tokens": "max_tokens", "stop_sequences": "stop"}


@dataclass(frozen=True, slots=True)
class TranslatedRequest:
    """A request of OpenAI's or Anthropic's API as ours.

    `fields` are those of `JobRequest` but its files: these are `payloads`, and `paths` below the batch file's
    directory. `model` is what was asked for, `id` the caller's. `parameters` say of each parameter of the API
    under which names it is among the optional inputs (none: no Space can be told it). `form` is how the
    answer is to be written. `known` is False where an unknown model was taken as `auto`.
    """

    route: ApiRoute
    model: str
    fields: Mapping[str, Any]
    payloads: tuple[Payload, ...] = ()
    paths: tuple[str, ...] = ()
    id: str | None = None
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    known: bool = True
    anthropic: bool = False

    def not_honoured(self, honoured: Collection[str]) -> tuple[str, ...]:
        """The parameters that did not count, where `honoured` are the optional inputs that did."""
        return tuple(name for name, inputs in self.parameters.items() if not set(inputs) & set(honoured))


def is_request_line(row: Any) -> bool:
    """Whether a line of JSON is a request of OpenAI's or of Anthropic's batch format."""
    if not isinstance(row, dict) or "custom_id" not in row:
        return False
    return isinstance(row.get("params"), dict) or ("body" in row and "url" in row)


def parse_line(
    row: Mapping[str, Any], models: ModelNames, directory: Path | None = None
) -> TranslatedRequest:
    """Read a line `{custom_id, method, url, body}`, or Anthropic's `{custom_id, params}`.

    Files that it names by path must lie below `directory`. Raises BadRequestError and its kinds,
    such as UnknownModelError and NoSpaceForRouteError.
    """
    id_ = row.get("custom_id")
    if not isinstance(id_, str) or not id_:
        raise BadRequestError("'custom_id' is not a text: give each line one of its own")
    if isinstance(params := row.get("params"), dict):
        found = parse_body(ApiRoute.CHAT, params, models, directory=directory)
        return replace(found, id=id_, anthropic=True)
    if (method := row.get("method", "POST")) != "POST":
        raise BadRequestError(f"the method is {method!r}: a line of a batch is a POST")
    route = _route_of(row.get("url"))
    return replace(parse_body(route, row.get("body"), models, directory=directory), id=id_)


def _route_of(url: Any) -> ApiRoute:
    """The route that a batch's line names. Raises BadRequestError for one that cannot be in a batch."""
    path = f"/v1/{str(url).strip('/').removeprefix('v1/')}"
    if path not in set(BATCH_ROUTES):
        known = ", ".join(route.value for route in BATCH_ROUTES)
        raise BadRequestError(f"the url '{url}' cannot be asked in a batch. Known: {known}")
    return ApiRoute(path)


def parse_body(
    route: ApiRoute,
    body: Any,
    models: ModelNames,
    payloads: Sequence[Payload] = (),
    directory: Path | None = None,
) -> TranslatedRequest:
    """Read a request's body; `payloads` are the files that came beside it. Raises as `parse_line` does."""
    if not isinstance(body, dict):
        raise BadRequestError("the body is not a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("the body has no 'model': name a Space, a category, or 'auto'")
    files = Attachments(directory, list(payloads))
    prompt = _PROMPTS[route](body, files)
    given = _given(route, body)
    if route is ApiRoute.TRANSCRIPTIONS and not (files.payloads or files.paths):
        raise BadRequestError("there is no recording: give 'file' as a data URL or a path")
    names = {name: _input_names(name, value) for name, value in given.items()}
    inputs = {one: value for name in names for one, value in names[name].items()}
    meant = models.meant(model, route)
    own = _own(body.get(OWN))
    fields = {"prompt": prompt, "optional_inputs": inputs, **_fallback(route), **meant.fields, **own}
    form = _form(route, body)
    parameters = {name: tuple(found) for name, found in names.items()}
    return TranslatedRequest(
        route, model, fields, tuple(files.payloads), tuple(files.paths), None, parameters, form, meant.known
    )


_FORMS = frozenset({"response_format", "stream", "stream_options", "encoding_format", "stream_format"})


def _form(route: ApiRoute, body: Mapping[str, Any]) -> dict[str, Any]:
    """How the answer is to be written. Raises BadRequestError for a form that it cannot have here."""
    form = {name: body[name] for name in _READ_HERE[route] & _FORMS if body.get(name) is not None}
    for name, written in _WRITTEN.get(route, {}).items():
        if form.get(name, written[0]) not in written:
            raise BadRequestError(f"{name} {form[name]!r} is not written here: ask for {', '.join(written)}")
    return form


def _fallback(route: ApiRoute) -> dict[str, Any]:
    # A language model's words are no picture, recording or vector, and no model here hears one.
    return {} if route is ApiRoute.CHAT else {"fallback": Fallback.SPACES}


def _given(route: ApiRoute, body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a Space may have an input for."""
    left_out = _READ_HERE[route] | _OF_THE_SERVICE
    given = {name: value for name, value in body.items() if name not in left_out and value is not None}
    if "size" in body and "size" in _READ_HERE[route]:
        given["size"] = body["size"]
    return {name: value for name, value in given.items() if _DEFAULTS.get(name, ...) != value}


def _input_names(name: str, value: Any) -> dict[str, Any]:
    """Under which names an endpoint may have the parameter as its input, each with its value."""
    if name == "size":
        width, x, height = str(value).partition("x")
        if x and width.isdigit() and height.isdigit():
            return {"width": int(width), "height": int(height), "size": value}
    plain = value if not isinstance(value, list) or len(value) != 1 else value[0]
    return {_AS_INPUTS.get(name, name): plain} if isinstance(plain, str | int | float) else {}


def _own(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict) or (unknown := given.keys() - _OWN_FIELDS):
        what = (
            f"'{min(unknown)}' under '{OWN}' is not known"
            if isinstance(given, dict)
            else f"'{OWN}' is no object"
        )
        raise BadRequestError(f"{what}. Known: {', '.join(sorted(_OWN_FIELDS))}")
    return dict(given)


def _chat(body: Mapping[str, Any], files: Attachments) -> str:
    return prompt_of(body.get("messages"), body.get("system"), files)


def _text_of(name: str) -> Any:
    def read(body: Mapping[str, Any], files: Attachments) -> str:
        text = body.get(name)
        if isinstance(text, list) and len(text) == 1:
            text = text[0]
        if not isinstance(text, str) or not text.strip():
            more = " One request gives one text; send a request for each" if isinstance(text, list) else ""
            raise BadRequestError(f"'{name}' is not a text.{more}" if more else f"'{name}' is not a text")
        return text

    return read


def _recording(body: Mapping[str, Any], files: Attachments) -> str:
    file = body.get("file")
    if isinstance(file, str) and file.startswith(("data:", "file:", "http:", "https:")):
        files.add(file, "audio")
    elif isinstance(file, str) and file:
        files.add_path(file)
    return ""


_PROMPTS = {
    ApiRoute.CHAT: _chat,
    ApiRoute.EMBEDDINGS: _text_of("input"),
    ApiRoute.IMAGES: _text_of("prompt"),
    ApiRoute.EDITS: _text_of("prompt"),
    ApiRoute.TRANSCRIPTIONS: _recording,
    ApiRoute.SPEECH: _text_of("input"),
}
