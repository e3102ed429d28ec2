"""Which of a server's models is asked, and that no prompt is handed on to another machine.

The servers are scripted: neither an Ollama with a cloud account nor the others can be had here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.listing import probe
from spacedock_worker.models.local import LocalAddress, LocalModels

Said = tuple[int, Any]


class Server:
    """A model server on a port of this machine; `refuses` has the answers of models that do not chat."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.tags: Said = (404, {"error": "no"})
        self.refuses: dict[str, Said] = {}
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def lists(self, *names: str) -> None:
        self.listed = [{"id": name, "object": "model"} for name in names]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": self.listed})
        if request.path == "/api/tags":
            return web.json_response(self.tags[1], status=self.tags[0])
        body = await request.json()
        self.asked.append((body["model"], body["messages"][-1]["content"]))
        if refusal := self.refuses.get(body["model"]):
            return web.json_response(refusal[1], status=refusal[0])
        choice = {"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}
        return web.json_response({"model": body["model"], "choices": [choice]})

    @property
    def prompted(self) -> list[str]:
        """The models that saw the prompt itself."""
        return [model for model, prompt in self.asked if prompt == "Which colour?"]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with Models() as models:
        yield models


async def found_at(server: Server, *prefers: str) -> ModelEndpoint | None:
    found = await LocalModels((LocalAddress("ollama", server.url, prefers),)).endpoints()
    return found[0] if found else None


def at(server: Server, **more: Any) -> ModelEndpoint:
    return ModelEndpoint.model_validate({"name": "ollama", "base_url": server.url} | more)


async def failure(models: Models, endpoint: ModelEndpoint, **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        await models.answer(endpoint, "Which colour?", **more)
    return caught.value


@pytest.mark.parametrize(
    "other",
    [
        "gpt-oss:120b-cloud",
        "glm-4.6:cloud",
        "Qwen3-Coder:480B-Cloud",
        "bge-m3:latest",
        "nomic-embed-text",
        "all-minilm:latest",
        "ai/mxbai-embed-large",
        "multilingual-e5-large",
        "gte-qwen2",
        "qwen3-reranker:0.6b",
        "whisper-large-v3",
        "kokoro",
        "tts-1",
        "xtts2",
        "BAAI/bge-large",
        "llama-guard3",
        "clip-vit",
        "flux.1-dev",
    ],
)
async def test_a_local_model_that_chats_is_taken(server: Server, models: Models, other: str) -> None:
    server.lists(other, "llama3.2:3b")
    found = await found_at(server)
    assert found is not None
    assert (found.model, found.others) == ("llama3.2:3b", ())
    assert (await models.answer(at(server), "Which colour?")).model == "llama3.2:3b"
    assert server.prompted == ["llama3.2:3b"]


@pytest.mark.parametrize(
    "name", ["smollm3", "cloudy:7b", "qwen2.5:1.5b", "deepseek-v2:16b", "gemma3:4b", "e5x", "barking-llama"]
)
async def test_a_chat_model_is_not_mistaken(server: Server, name: str) -> None:
    server.lists(name)
    found = await found_at(server)
    assert found is not None
    assert found.model == name


@pytest.mark.parametrize(
    "told",
    [
        {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"},
        {"remote_model": "gpt-oss:120b"},
        {"capabilities": ["embedding"]},
        {"capabilities": {"completion_chat": False, "embeddings": True}},
    ],
)
@pytest.mark.parametrize("by", ["models", "tags"])
async def test_what_a_server_tells_of_a_model_counts(
    server: Server, models: Models, told: dict[str, Any], by: str
) -> None:
    server.lists("mine", "llama3.2:3b")
    if by == "models":
        server.listed[0] |= told
    else:
        server.tags = (200, {"models": [{"name": "mine", "model": "mine", **told}, {"name": "llama3.2:3b"}]})
    found = await found_at(server, "mine")
    assert found is not None
    assert found.model == "llama3.2:3b"
    await models.answer(at(server), "Which colour?")
    assert {model for model, _ in server.asked} == {"llama3.2:3b"}


GATEWAYS = (
    {"id": "mine", "owned_by": "openai"},
    {"id": "mine", "owned_by": "OpenAI"},
    {"id": "mine", "owned_by": "openai-internal"},
    {"id": "mine", "owned_by": "system"},
    {"id": "mine", "owned_by": "Azure OpenAI"},
    {"id": "mine", "owned_by": "x-ai"},
    {"id": "gpt-4o"},
    {"id": "gpt-3.5-turbo"},
    {"id": "openai/gpt-4o-mini"},
    {"id": "openai/gpt-5"},
    {"id": "o3-mini"},
    {"id": "openai/o1"},
    {"id": "claude-3-5-sonnet-latest"},
    {"id": "anthropic/claude-sonnet-4"},
    {"id": "bedrock/anthropic.claude-3-haiku-20240307-v1:0"},
    {"id": "gemini-2.5-pro"},
    {"id": "vertex_ai/mine"},
    {"id": "groq/llama3-8b-8192"},
    {"id": "azure/my-deployment"},
    {"id": "openrouter/auto"},
    {"id": "meta-llama/llama-3.3-70b-instruct:free"},
    {"id": "deepseek/deepseek-r1", "pricing": {"prompt": "0", "completion": "0"}},
    {"id": "meta-llama/llama-3.1-8b-instruct", "top_provider": {"context_length": 8192}},
    {"id": "Qwen/Qwen3-8B", "owned_by": "Qwen", "providers": [{"provider": "novita", "status": "live"}]},
)


@pytest.mark.parametrize("listed", GATEWAYS, ids=lambda told: f"{told['id']}-{len(told)}")
async def test_a_gateways_models_are_not_taken_unnamed(
    server: Server, models: Models, listed: dict[str, Any]
) -> None:
    server.listed = [{"object": "model", **listed}]
    assert await found_at(server) is None
    assert (await failure(models, at(server))).kind is ErrorKind.MODEL_UNAVAILABLE
    private = await failure(models, at(server, model=listed["id"]), private=True)
    assert "does not run" in str(private)
    assert server.asked == []
    await models.answer(at(server, model=listed["id"]), "Which colour?")
    assert server.prompted == [listed["id"]]


@pytest.mark.parametrize(
    "listed",
    [
        {"id": "openai/gpt-oss-20b", "owned_by": "organization_owner"},
        {"id": "google/gemma-3-4b", "owned_by": "organization_owner"},
        {"id": "gpt-oss:20b", "owned_by": "library"},
        {"id": "my-lora", "owned_by": "vllm", "root": "/loras/mine", "parent": "meta-llama/Llama-3.1-8B"},
        {"id": "/models/llama.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192}},
        {"id": "ai/smollm3", "owned_by": "docker"},
        {"id": "google/gemma-2b", "owned_by": "google/gemma-2b"},
        {"id": "gpt4all-falcon"},
        {"id": "marco-o1:7b"},
        {"id": "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF"},
        {"id": "huggingface.co/unsloth/gemma-3"},
        {"id": "mistralai/mistral-7b", "owned_by": "organization_owner"},
        {"id": "gptq-llama"},
        {"id": "falcon3:1b"},
    ],
    ids=lambda told: told["id"],
)
async def test_the_models_of_local_servers_are_taken(server: Server, listed: dict[str, Any]) -> None:
    server.listed = [{"object": "model", **listed}]
    found = await found_at(server)
    assert found is not None
    assert found.model == listed["id"]


@pytest.mark.parametrize("owner", [None, [], {"a": 1}, 5, "library"])
async def test_an_odd_owner_is_no_trouble(server: Server, owner: Any) -> None:
    server.listed = [{"id": "m", "object": "model", "owned_by": owner, "capabilities": owner}]
    assert await found_at(server) is not None


@pytest.mark.parametrize("tags", [(500, {}), (200, {}), (200, []), (200, {"models": None}), (200, "hello")])
async def test_other_servers_have_no_tags(server: Server, tags: Said) -> None:
    server.lists("m")
    server.tags = tags
    assert await found_at(server) is not None


async def test_a_server_without_a_local_chat_model_is_left_out(server: Server, models: Models) -> None:
    server.lists("bge-m3", "gpt-oss:120b-cloud")
    assert await found_at(server) is None
    error = await failure(models, at(server))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert "gpt-oss:120b-cloud" in str(error)
    assert "`model`" in str(error)
    assert server.asked == []
    assert (await probe(at(server), 5.0)).state == "absent"


async def test_the_model_that_would_be_asked_is_shown(server: Server) -> None:
    server.lists("bge-m3", "llama3.2:3b")
    assert (await probe(at(server), 5.0)).models == ("llama3.2:3b", "bge-m3")


REFUSALS: list[Said] = [
    (400, {"error": {"message": '"odd" does not support chat', "type": "invalid_request_error"}}),
    (400, {"error": '"odd" does not support generate'}),
    (501, {"error": {"message": "This server does not support completions.", "type": "not_supported_error"}}),
    (500, {"error": {"message": "the current context does not support chat completions", "code": 500}}),
    (400, {"object": "error", "message": "The model `odd` does not support Chat Completions API"}),
    (404, {"detail": "Not Found"}),
    (404, {"error": {"message": 'model "odd" not found, try pulling it first'}}),
    (404, {"error": {"message": "This is not a chat model and thus not supported"}}),
    (400, {"error": "Model is not llm"}),
    (400, {"message": "odd only supports {'embed'}"}),
    (422, {"detail": "you must provide a chat template if the tokenizer does not define one"}),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_the_next_one_is_asked_where_a_model_has_no_chat(
    server: Server, models: Models, refusal: Said
) -> None:
    server.lists("odd", "odd2", "llama3.2:3b")
    server.refuses = {"odd": refusal, "odd2": refusal}
    found = await found_at(server)
    assert found is not None
    assert found.model == "odd"
    assert (await models.answer(found, "Which colour?")).model == "llama3.2:3b"
    assert (await models.answer(found, "Which colour?")).model == "llama3.2:3b"
    assert server.prompted == ["llama3.2:3b"] * 2


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_of_the_prompt_itself_goes_on_as_well(
    server: Server, models: Models, refusal: Said
) -> None:
    server.lists("odd", "llama3.2:3b")
    await models.answer(at(server), "Which colour?")
    server.refuses = {"odd": refusal}
    assert (await models.answer(at(server), "Which colour?")).model == "llama3.2:3b"


async def test_a_refused_prompt_is_not_sent_to_the_next_model(server: Server, models: Models) -> None:
    server.lists("one", "two")
    await models.answer(at(server), "Hello")
    server.refuses = {"one": (400, {"error": {"message": "the prompt is longer than the context"}})}
    error = await failure(models, at(server))
    assert (error.kind, "longer than the context" in str(error)) == (ErrorKind.APP_ERROR, True)


async def test_a_server_none_of_whose_models_chats_says_so(server: Server, models: Models) -> None:
    server.lists("one", "two")
    server.refuses = {name: (400, {"error": f'"{name}" does not support chat'}) for name in ("one", "two")}
    error = await failure(models, at(server))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert '"two" does not support chat' in str(error)
    server.refuses = {}
    assert (await models.answer(at(server), "Which colour?")).model == "one"


async def test_a_model_that_the_configuration_names_is_asked_alone(server: Server, models: Models) -> None:
    server.lists("odd", "llama3.2:3b")
    server.refuses = {"odd": REFUSALS[0]}
    assert '"odd" does not support chat' in str(await failure(models, at(server, model="odd")))
    assert server.prompted == []


async def test_a_cloud_model_is_asked_where_the_configuration_names_it(
    server: Server, models: Models
) -> None:
    server.lists("gpt-oss:120b-cloud")
    answer = await models.answer(at(server, model="gpt-oss:120b-cloud"), "Which colour?")
    assert answer.model == "gpt-oss:120b-cloud"


@pytest.mark.parametrize("name", ["mine", "mine:latest"])
@pytest.mark.parametrize("warm", [False, True])
async def test_a_private_prompt_goes_to_no_alias_of_a_cloud_model(
    server: Server, models: Models, name: str, warm: bool
) -> None:
    server.lists("mine:latest")
    server.tags = (200, {"models": [{"name": "mine:latest", "remote_host": "https://ollama.com"}]})
    endpoint = at(server, model=name)
    if warm:
        await models.answer(endpoint, "Hello")
    error = await failure(models, endpoint, private=True)
    assert (error.kind, "privacy" in str(error)) == (ErrorKind.MODEL_UNAVAILABLE, True)
    assert server.prompted == []


async def test_a_private_prompt_goes_to_a_model_of_this_machine(server: Server, models: Models) -> None:
    server.lists("llama3.2:3b")
    assert (await models.answer(at(server), "Which colour?", private=True)).text == "Blue."


@pytest.mark.parametrize("stage", ["models", "chat"])
async def test_a_redirect_is_not_followed(models: Models, server: Server, stage: str) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        await request.read()
        if stage == "chat" and request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": "m"}]})
        raise web.HTTPTemporaryRedirect(f"{server.url}/{request.path.removeprefix('/v1/')}")

    server.lists("m")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    error = await failure(models, ModelEndpoint(name="sly", base_url=url))
    await runner.cleanup()
    assert (error.kind, "base_url" in str(error)) == (ErrorKind.MODEL_UNAVAILABLE, True)
    assert server.asked == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_no_proxy_carries_a_prompt_away(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    carried = asyncio.Event()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.set()
        writer.close()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        server.lists("m")
        async with Models() as models:
            for host in ("127.0.0.1", "localhost"):
                url = server.url.replace("127.0.0.1", host)
                endpoint = ModelEndpoint(name="m", base_url=url)
                assert (await models.answer(endpoint, "Which colour?", private=True)).text == "Blue."
        assert not carried.is_set()
