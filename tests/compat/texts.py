"""The calls that send and bring back texts: forms, buttons, chats, streams, errors."""

from __future__ import annotations

from tests.compat.case import VERSIONS, Case, Official
from tests.compat.checks import data, mentions, returned, says

NO_CHAT = {"3.35.2": "there is no gr.ChatInterface"}
NO_PAIRS = {"6.31.0": "gr.Chatbot has no pairs of messages any more"}
NO_MESSAGES = dict.fromkeys(VERSIONS[:3], "gr.Chatbot has no messages, only pairs")
NO_SHOW_API = dict.fromkeys(VERSIONS[:3], "an event has no show_api")

FORMS = (
    Case(
        "g-interface",
        "a text in and a text out",
        prompt="hällo wörld",
        text="HÄLLO WÖRLD!",
        official=Official(("hällo wörld",), "/predict", "/shout"),
    ),
    Case(
        "g-interface",
        "lines of text",
        prompt="one\ntwo",
        text="ONE\nTWO!",
        official=Official(("one\ntwo",), "/predict", "/shout"),
    ),
    Case(
        "g-defaults",
        "the rest takes its defaults",
        prompt="Ada",
        text="Dear Ada: we would love to see you at the dock for dinner at 19:00, with 12 guests. "
        "Bring cake.",
        official=Official(
            ("Ada", "the dock", 12, "warm", "dinner", False, 19, ["cake"]), "/predict", "/invite"
        ),
    ),
    Case(
        "g-defaults",
        "inputs by name",
        prompt="Ada",
        inputs={
            "place": "the bridge",
            "guests": 3,
            "tone": "solemn",
            "meal": "lunch",
            "formal": True,
            "hour": 12,
            "extras": ["music", "flowers"],
        },
        text="Most honoured Ada: we request the pleasure of your company at the bridge for lunch at 12:00, "
        "with 3 guests. Bring music and flowers.",
        official=Official(
            ("Ada", "the bridge", 3, "solemn", "lunch", True, 12, ["music", "flowers"]), "/predict", "/invite"
        ),
    ),
    Case(
        "g-buttons",
        "the main button among toggles",
        prompt="an old pond / a frog jumps in / splash",
        text="3-4-1",
        official=Official(("an old pond / a frog jumps in / splash", "-", False), "/infer"),
    ),
    Case(
        "g-buttons",
        "the options of a panel",
        prompt="an old pond / splash",
        inputs={"separator": "+", "total": True},
        text="3+1 = 4",
        official=Official(("an old pond / splash", "+", True), "/infer"),
    ),
    Case(
        "g-unnamed",
        "functions without names",
        prompt="Silent",
        text="an anagram",
        official=Official(("Silent", "listen"), "/check"),
    ),
    Case(
        "g-unnamed",
        "an input by its label",
        prompt="thing",
        inputs={"Other text": "knight"},
        text="not an anagram",
        official=Official(("thing", "knight"), "/check"),
    ),
    Case(
        "g-tabbed",
        "the first tab by its input",
        inputs={"text": "hello"},
        text="uryyb",
        official=Official(("hello",), "/predict", "/rot13"),
    ),
    Case(
        "g-tabbed",
        "the second tab by its input",
        prompt="sos",
        inputs={"dot": "o"},
        text="ooo --- ooo",
        official=Official(("sos", "o"), "/predict_1", "/morse"),
    ),
    Case(
        "g-translate",
        "a text among dropdowns",
        prompt="hello new ship",
        text="bonjour new navire",
        official=Official(("hello new ship", "English", "French"), "/translate"),
    ),
    Case(
        "g-translate",
        "dropdowns by name",
        prompt="monde",
        inputs={"source_language": "French", "target_language": "German"},
        text="welt",
        official=Official(("monde", "French", "German"), "/translate"),
    ),
    Case(
        "g-noname",
        "inputs without labels",
        prompt="ha",
        text="ha ha",
        official=Official(("ha", 2), "/repeat"),
    ),
    Case(
        "g-examples",
        "a function with cached examples",
        prompt="veni",
        text="yhql",
        official=Official(("veni", 3), "/caesar"),
    ),
    Case(
        "g-several",
        "three outputs",
        prompt="one two three",
        check=data("one … three", 3, {"longest": "three", "lengths": [3, 3, 5]}),
        official=Official(
            ("one two three",),
            "/predict",
            "/report",
            check=returned("one … three", 3, {"longest": "three", "lengths": [3, 3, 5]}),
        ),
    ),
)

CHATS = (
    Case(
        "g-chat",
        "a chat interface",
        prompt="good morning",
        text="You said: good morning",
        lacks=NO_CHAT,
        official=Official(("good morning",), "/chat", "/answer"),
    ),
    Case(
        "g-chat-options",
        "a chat with its own options",
        prompt="hello",
        text="A parrot (calm): olleh",
        lacks=NO_CHAT,
        official=Official(("hello", "A parrot", 0.7, 50), "/chat", "/answer"),
    ),
    Case(
        "g-chat-options",
        "a system prompt by name",
        prompt="hello",
        inputs={"system_prompt": "A poet of old", "temperature": 1.5, "max_new_tokens": 5},
        text="A poet of old (wild):",
        lacks=NO_CHAT,
        official=Official(("hello", "A poet of old", 1.5, 5), "/chat", "/answer"),
    ),
    Case(
        "g-chatbot",
        "a chat of pairs",
        prompt="hi",
        check=says("Message 1: hi"),
        lacks=NO_PAIRS,
        official=Official(("hi", []), "/respond", check=mentions("Message 1: hi")),
    ),
    Case(
        "g-chatbot",
        "a history of pairs",
        prompt="hi",
        inputs={"chat": [["a", "b"]]},
        check=says("Message 2: hi"),
        lacks=NO_PAIRS,
        official=Official(("hi", [["a", "b"]]), "/respond", check=mentions("Message 2: hi")),
    ),
    Case(
        "g-chatbot-messages",
        "a chat of messages and a state",
        prompt="hello there",
        check=says("Turn 1: Hello there."),
        lacks=NO_MESSAGES,
        official=Official(("hello there", []), "/respond", check=mentions("Turn 1: Hello there.")),
    ),
    Case(
        "g-chatbot-messages",
        "a history of messages",
        prompt="go on",
        inputs={"chat": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        check=lambda answer: says("Turn 1: Go on.")(answer) and len(answer.data[-1]) == 4,
        lacks=NO_MESSAGES,
        official=Official(
            ("go on", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
            "/respond",
            check=mentions("Go on."),
        ),
    ),
    Case(
        "g-chat-then",
        "an answer from a second function",
        prompt="hello dear parrot",
        text="Polly says: hello dear parrot",
        lacks=NO_PAIRS,
        official=Official(
            ("hello dear parrot", []), "/user", check=mentions("Polly says: hello dear parrot")
        ),
    ),
    Case(
        "g-chat-then-messages",
        "a message from a second function",
        prompt="hello dear parrot",
        text="Polly says: hello dear parrot",
        lacks=NO_MESSAGES,
        official=Official(
            ("hello dear parrot", []), "/user", check=mentions("Polly says: hello dear parrot")
        ),
    ),
    Case(
        "g-state",
        "a state before the textbox",
        prompt="Ada",
        text="Welcome, Ada! You are guest number 1.",
        official=Official(("Ada",), "/sign"),
    ),
)
