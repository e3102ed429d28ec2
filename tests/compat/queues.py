"""The calls that show how an app is called: streams, queues, batches, hidden functions, logins, paths."""

from __future__ import annotations

from tests.compat.case import Case, Official
from tests.compat.checks import data, files, path_with, returned
from tests.compat.texts import NO_SHOW_API

CALLS = (
    Case(
        "g-generator",
        "a text that grows",
        prompt="one two three four",
        text="one two three four",
        official=Official(("one two three four",), "/type_out"),
    ),
    Case(
        "g-progress",
        "a progress bar",
        prompt="a sentence of vowels",
        text="7 vowels",
        official=Official(("a sentence of vowels",), "/predict", "/read"),
    ),
    Case(
        "g-unqueued",
        "an event without the queue",
        prompt="one two three",
        check=data(3),
        official=Official(("one two three",), "/count", check=returned(3)),
    ),
    Case(
        "g-batch",
        "a function of batches",
        prompt="the old man",
        text="The Old Man!",
        official=Official(("the old man", "!"), "/titles"),
    ),
    Case(
        "g-batch",
        "an option in a batch",
        prompt="the old man",
        inputs={"mark": "?"},
        text="The Old Man?",
        official=Official(("the old man", "?"), "/titles"),
    ),
    Case(
        "g-queue-full",
        "a queue with one place",
        prompt="yes",
        text="After some thought: yes",
        official=Official(("yes",), "/predict", "/think"),
    ),
    Case(
        "g-long",
        "a function without inputs",
        endpoint="/beats",
        check=lambda answer: answer.data == [{"stream": 0, "work": 0}],
        official=Official((), "/beats", check=returned({"stream": 0, "work": 0})),
    ),
    Case(
        "g-hidden",
        "a function kept from the API",
        prompt="Why?",
        text="The answer to 'Why?' is 42.",
        official=Official(("Why?",), fn_index=1),
    ),
    Case(
        "g-undocumented",
        "a function kept from the API page",
        prompt="Never odd or even",
        text="yes",
        lacks=NO_SHOW_API,
        official=Official(("Never odd or even",), "/is_palindrome"),
    ),
    Case(
        "g-auth",
        "a login",
        prompt="Ada",
        text="Welcome to the club, Ada.",
        auth=("ada", "lovelace"),
        official=Official(("Ada",), "/predict", "/greet"),
    ),
    Case(
        "g-mounted",
        "an app below a path",
        prompt="dock",
        text="d-o-c-k",
        official=Official(("dock",), "/spell"),
    ),
    Case(
        "g-rootpath",
        "a file from behind a proxy",
        prompt="keep this",
        check=files(("note.txt", b"keep this"), text="9 characters"),
        official=Official(("keep this",), "/predict", "/save", check=path_with(b"keep this")),
    ),
    Case(
        "g-errors",
        "an answer where others fail",
        prompt="6.25",
        text="2.5",
        official=Official(("6.25",), "/predict", "/root", check=returned(2.5)),
    ),
    Case("g-errors", "an error in the app's words", prompt="-1", error="-1 has no real square root."),
    Case("g-errors", "an error without words", prompt="four", error="failed"),
)
