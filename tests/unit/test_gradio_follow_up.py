"""When an answer is still to come from a function that follows on the page, and what that is sent."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock_worker.adapters.gradio.chained import follow_up
from spacedock_worker.adapters.gradio.description import App, describe

CHAT, BOX, MOOD, STATE = 1, 2, 3, 4


def app(**bot: Any) -> App:
    """A chat made by hand: `user` takes the message, `bot` answers."""
    components = [
        {"id": CHAT, "type": "chatbot", "props": {}},
        {"id": BOX, "type": "textbox", "props": {}},
        {"id": MOOD, "type": "dropdown", "props": {"value": "calm"}},
        {"id": STATE, "type": "state", "props": {}},
    ]
    user = {"id": 0, "api_name": "user", "inputs": [BOX, CHAT], "outputs": [BOX, CHAT]}
    follower = {"id": 7, "api_name": "bot", "inputs": [CHAT, MOOD, STATE], "outputs": [CHAT]}
    dependencies = [user, follower | {"trigger_after": 0} | bot]
    return describe({"components": components, "dependencies": dependencies}, None)


def following(page: App, outputs: list[Any]) -> tuple[str, list[Any]] | None:
    found = follow_up(page, page.functions["/user"], ["hi", []], outputs)
    return (found[0].endpoint.name, found[1]) if found else None


@pytest.mark.parametrize(
    "conversation",
    [
        [["hi", None]],
        [["a", "b"], ["hi", None]],
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    ],
)
def test_a_conversation_that_ends_with_the_user_is_followed_on(conversation: list[Any]) -> None:
    assert following(app(), ["", conversation]) == ("/bot", [conversation, "calm", None])


def test_an_update_is_taken_for_its_value() -> None:
    update = {"__type__": "update", "value": [["hi", None]], "visible": True}
    assert following(app(), [{"__type__": "update", "interactive": False}, update]) == (
        "/bot",
        [[["hi", None]], "calm", None],
    )


@pytest.mark.parametrize(
    "conversation",
    [[["hi", "hello"]], [{"role": "assistant", "content": "hello"}], [], None, "hi", [["hi"]], [{}]],
)
def test_a_conversation_with_an_answer_is_whole(conversation: Any) -> None:
    assert following(app(), ["", conversation]) is None


@pytest.mark.parametrize("bot", [{"trigger_after": 3}, {"trigger_after": None}, {"outputs": [BOX]}])
def test_only_what_follows_and_writes_to_the_chat_is_called(bot: dict[str, Any]) -> None:
    assert following(app(**bot), ["", [["hi", None]]]) is None


SHOWN = 5


@pytest.mark.parametrize(
    "show",
    [{"targets": [[STATE, "change"]]}, {"targets": [[None, "then"]], "trigger_after": 0}],
    ids=["change", "then"],
)
def test_a_state_alone_is_followed_to_what_shows_it(show: dict[str, Any]) -> None:
    components = [
        {"id": BOX, "type": "number", "props": {}},
        {"id": STATE, "type": "state", "props": {}},
        {"id": SHOWN, "type": "number", "props": {}},
    ]
    add = {"id": 0, "api_name": "add", "inputs": [STATE, BOX], "outputs": [STATE]}
    told = {"id": 1, "api_name": "show", "inputs": [STATE, BOX], "outputs": [SHOWN]}
    page = describe({"components": components, "dependencies": [add, told | show]}, None)
    found = follow_up(page, page.functions["/add"], [None, 7], [None])
    assert found == (page.functions["/show"], [None, 7])
    assert follow_up(page, page.functions["/show"], [None, 7], [7]) is None
