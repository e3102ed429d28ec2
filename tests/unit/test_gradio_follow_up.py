"""When an answer is still to come from a function that follows on the page, and what that is sent."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import app_of

from spacedock_worker.adapters.gradio.chained import Chain, follow_up, is_said
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
    found = follow_up(page, page.functions["/user"], {BOX: "hi", CHAT: []}, outputs)
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


@pytest.mark.parametrize(
    ("box", "follows"),
    [
        ("", True),
        (None, True),
        ({"__type__": "update", "value": "", "interactive": False}, True),
        ({"__type__": "update", "interactive": False}, True),
        ("hello", False),
    ],
)
def test_a_box_that_is_only_emptied_is_no_answer(box: Any, follows: bool) -> None:
    components = [{"id": 1, "type": "textbox"}, {"id": 2, "type": "state"}, {"id": 3, "type": "chatbot"}]
    send = {"id": 0, "api_name": "send", "inputs": [1], "outputs": [1, 2]}
    ready = {"id": 1, "api_name": "ready", "outputs": [1], "trigger_after": 0}
    append = {"id": 2, "api_name": "append", "inputs": [2, 3], "outputs": [3], "trigger_after": 0}
    page = describe({"components": components, "dependencies": [send, ready, append]}, None)
    found = follow_up(page, page.functions["/send"], {1: "hi"}, [box, "hi"])
    assert found == ((page.functions["/append"], ["hi", []]) if follows else None)


@pytest.mark.parametrize("version", ["3.50.2", "4.8.0", "4.44.1", "6.31.0"])
def test_the_page_of_a_chat_has_a_way_of_its_own(version: str) -> None:
    page = app_of("g-chat", version)
    told = page.functions["/answer" if version == "6.31.0" else "/chat"]
    assert told.page is not None
    entry = page.numbered(told.page)
    assert entry is not None
    assert entry.inputs == told.inputs[:1]
    assert all(one.page is None for one in page.functions.values() if one is not told)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("words", True),
        (None, True),
        (3.5, True),
        ("a < b and b > 0x1", True),
        ({"role": "assistant", "content": "Tea?", "options": []}, True),
        ("['Here:', <gradio.components.file.File object at 0x7f12ab>]", False),
        ("<PIL.Image.Image image mode=RGB size=2x2 at 0x7f12ab>", False),
        ("('/tmp/a.png',)", False),
        ({"__type__": "update", "value": "/tmp/a.png"}, False),
        ({"role": "assistant", "content": "<gradio.components.file.File object at 0x7f12ab>"}, False),
        ({"text": "look", "files": ["/tmp/a.png"]}, False),
        (["Here:", "there"], False),
    ],
)
def test_what_a_chat_gives_its_callers_is_words_or_not(value: Any, said: bool) -> None:
    assert is_said(value) is said


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
    found = follow_up(page, page.functions["/add"], {STATE: None, BOX: 7}, [None])
    assert found == (page.functions["/show"], [None, 7])
    assert follow_up(page, page.functions["/show"], {STATE: None, BOX: 7}, [7]) is None


MID, OUT = 5, 6


def steps(**mid: Any) -> App:
    """A button whose function fills a box, and the function after it, which reads that box."""
    components = [
        {"id": BOX, "type": "textbox", "props": {}},
        {"id": MID, "type": "textbox", "props": {"visible": False} | mid},
        {"id": OUT, "type": "textbox", "props": {}},
    ]
    first = {"id": 0, "api_name": "user", "inputs": [BOX], "outputs": [MID]}
    second = {"id": 1, "api_name": "last", "inputs": [MID], "outputs": [OUT], "trigger_after": 0}
    return describe({"components": components, "dependencies": [first, second]}, None)


def test_what_a_box_that_nobody_sees_holds_is_no_answer() -> None:
    assert following(steps(), ["ih"]) == ("/last", ["ih"])


def test_a_box_that_people_see_holds_the_answer() -> None:
    assert following(steps(visible=True), ["ih"]) is None
    # The function itself may show it.
    assert following(steps(), [{"__type__": "update", "value": "ih", "visible": True}]) is None


STATUS, RESULT, NOTE = 7, 8, 9
START = {"id": 0, "api_name": "start", "inputs": [BOX], "outputs": [STATUS]}
WORK = {"id": 1, "api_name": "work", "inputs": [BOX], "outputs": [RESULT], "trigger_after": 0}


def walked(first: dict[str, Any], *links: dict[str, Any], **answers: Any) -> tuple[list[str], list[Any]]:
    """What is called after `first`, and what the page shows in the end; `answers` are by function."""
    kinds = {BOX: "textbox", STATE: "state", NOTE: "textbox", STATUS: "textbox", RESULT: "textbox"}
    parts = [{"id": number, "type": kind, "props": {}} for number, kind in kinds.items()]
    page = describe({"components": parts, "dependencies": [first, *links]}, None)
    function = page.functions[f"/{first['api_name']}"]
    shown = {BOX: "tea"}
    outputs = answers[first["api_name"]]
    called: list[str] = []
    chain = Chain(page, function, outputs, shown | dict(zip(function.outputs, outputs, strict=True)))
    while (step := chain.following()) is not None:
        called.append(step[0].endpoint.name)
        chain.answered(step[0], answers[step[0].endpoint.name.strip("/")])
    whole, values = chain.whole()
    assert len(whole.endpoint.outputs) == len(whole.outputs) == len(values)
    return called, values


def test_the_rest_of_a_chain_adds_to_the_answer() -> None:
    assert walked(START, WORK, start=["working"], work=["RESULT"]) == (["/work"], ["working", "RESULT"])


def test_a_status_that_is_overwritten_in_the_end_is_no_answer() -> None:
    end = {"id": 2, "api_name": "end", "outputs": [STATUS], "trigger_after": 1}
    assert walked(START, WORK, end, start=["working"], work=["RESULT"]) == (["/work"], ["RESULT"])


def test_a_text_that_the_next_function_reads_is_no_status() -> None:
    read = WORK | {"inputs": [STATUS]}
    end = {"id": 2, "api_name": "end", "outputs": [STATUS], "trigger_after": 1}
    assert walked(START, read, end, start=["clean"], work=["3"]) == (["/work"], ["clean", "3"])


def test_a_function_that_works_on_what_is_shown_takes_its_place() -> None:
    mend = {"id": 1, "api_name": "mend", "inputs": [STATUS], "outputs": [STATUS], "trigger_after": 0}
    assert walked(START, mend, start=["draft"], mend=["whole"]) == (["/mend"], ["whole"])


@pytest.mark.parametrize(
    "chore",
    [{"outputs": [BOX]}, {"outputs": []}, {"outputs": [STATUS]}, {"outputs": [STATE]}],
    ids=["empties the box", "nothing", "the same", "a state that nobody shows"],
)
def test_chores_of_a_chain_are_passed_over(chore: dict[str, Any]) -> None:
    after = {"id": 1, "api_name": "after", "inputs": [BOX], "trigger_after": 0} | chore
    later = WORK | {"id": 2, "trigger_after": 1}
    assert walked(START, after, start=["well"]) == ([], ["well"])
    called, values = walked(START, after, later, start=["well"], after=["s"], work=["R"])
    assert called == (["/after", "/work"] if chore["outputs"] == [STATE] else ["/work"])
    assert values[-1] == "R"


def test_what_follows_only_a_failure_is_not_called() -> None:
    link = WORK | {"trigger_only_on_failure": True}
    assert walked(START, link, start=["well"]) == ([], ["well"])


def test_an_update_without_a_value_shows_nothing() -> None:
    update = {"__type__": "update", "visible": True}
    assert walked(START, WORK, start=["well"], work=[update]) == (["/work"], ["well"])


def test_a_chain_has_an_end() -> None:
    first = START | {"trigger_after": 1}
    assert walked(first, WORK, start=["a"], work=["b"])[0] == ["/work"]
