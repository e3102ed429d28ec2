"""The choice of an endpoint put into words: every endpoint has a score or the reason why it is out."""

from __future__ import annotations

import pytest
from tests.unit.gradio_apps import app_of, file, page

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import rate
from spacedock_worker.adapters.binding.explain import explained
from spacedock_worker.adapters.gradio.description import App

CAT = AppCall("a cat")


@pytest.fixture(params=["5.50.0", "6.31.0"])
def usual(request: pytest.FixtureRequest) -> App:
    return app_of("usual", request.param)


@pytest.fixture
def buttons() -> App:
    return app_of("g-buttons", "3.50.2")


def test_every_endpoint_is_rated_in_the_apps_order(buttons: App) -> None:
    ratings = rate(buttons.endpoints, CAT)
    assert [rating.endpoint for rating in ratings] == list(buttons.endpoints)
    assert all((rating.choice is None) == bool(rating.out) for rating in ratings)


def test_what_is_out_says_why(buttons: App) -> None:
    out = {rating.endpoint.name: rating.out for rating in rate(buttons.endpoints, CAT)}
    assert out == {
        "/toggle": "it takes no input",
        "/clear": "it takes no input",
        "/fn_index/2": "",
        "/infer": "",
        "/infer_1": "it does the same as /infer",
    }


def test_a_hidden_endpoint_says_that_it_is() -> None:
    app = app_of("media", "6.31.0")
    out = {rating.endpoint.name: rating.out for rating in rate(app.endpoints, CAT)}
    assert out["/hidden"] == "the app hides it from its API"
    assert out["/compare"] != ""


def test_an_endpoint_without_outputs_says_so() -> None:
    app = page({"api_name": "go", "inputs": [1], "outputs": []}, Text="textbox")
    assert rate(app.endpoints, CAT)[0].out == "it gives no answer"


def test_scores_answer_their_questions(buttons: App) -> None:
    scores = {r.endpoint.name: r.choice.score for r in rate(buttons.endpoints, CAT) if r.choice}
    change, infer = scores["/fn_index/2"], scores["/infer"]
    assert change is not None
    assert infer is not None
    assert (change.pressed, change.primary, change.prompt_placed) == (False, False, True)
    assert (infer.pressed, infer.primary, infer.telling_name, infer.no_chore) == (True, True, True, True)
    assert infer > change


def test_files_are_counted_for_and_against_an_endpoint() -> None:
    app = app_of("media", "6.31.0")
    call = AppCall("", (file("a.png"), file("b.png")))
    exact = {
        r.endpoint.name: r.choice.score.files_exact
        for r in rate(app.endpoints, call)
        if r.choice and r.choice.score
    }
    assert exact["/compare"] == 2
    assert exact["/look"] == 0


def test_the_one_that_is_taken_comes_first_with_its_reasons(usual: App) -> None:
    answer = explained(usual.endpoints, CAT)
    first, *rest = answer.data
    assert (answer.endpoint, first["endpoint"], first["chosen"]) == ("/infer", "/infer", True)
    assert not any(row["chosen"] for row in rest)
    assert len(answer.data) == len(usual.endpoints)
    assert all(row["reasons"] for row in answer.data)
    assert first["parameters"] == ["prompt: textbox", "negative: textbox", "seed: slider = default"]
    assert (answer.text or "").startswith("* /infer(")


def test_rows_go_from_the_best_to_those_that_are_out(buttons: App) -> None:
    rows = explained(buttons.endpoints, CAT).data
    scored = [row["score"] is not None for row in rows]
    assert scored == sorted(scored, reverse=True)
    assert [row["endpoint"] for row in rows[:2]] == ["/infer", "/fn_index/2"]
    assert [row["reasons"] for row in rows if row["endpoint"] == "/toggle"] == [["out: it takes no input"]]


def test_the_button_is_told(buttons: App) -> None:
    answer = explained(buttons.endpoints, CAT)
    assert answer.data[0]["trigger"] == "Count"
    assert 'by "Count"' in (answer.text or "")


def test_a_tie_is_explained_instead_of_raised() -> None:
    app = app_of("g-data", "4.44.1")
    answer = explained(app.endpoints, AppCall("3 ropes"))
    assert answer.endpoint is None
    assert "several endpoints fit equally well" in (answer.text or "")
    assert not any(row["chosen"] for row in answer.data)


def test_nothing_that_fits_is_explained_instead_of_raised(usual: App) -> None:
    answer = explained(usual.endpoints, AppCall("", (file("a.wav"),)))
    assert answer.endpoint is None
    assert "no endpoint of the app fits" in (answer.text or "")


def test_a_named_endpoint_is_the_one_that_is_taken(usual: App) -> None:
    answer = explained(usual.endpoints, AppCall("hi", endpoint="/chat"))
    assert (answer.endpoint, answer.data[0]["endpoint"]) == ("/chat", "/chat")


def test_an_app_without_endpoints_can_be_explained() -> None:
    answer = explained((), CAT)
    assert (answer.endpoint, answer.data) == (None, [])
    assert "no endpoint" in (answer.text or "")


def test_the_prompt_is_not_in_the_explanation(usual: App) -> None:
    assert "secret words" not in str(explained(usual.endpoints, AppCall("secret words")))


def test_what_it_takes_and_gives_is_told_for_programs() -> None:
    app = page({"api_name": "go", "inputs": [1, 2], "outputs": [2, 1]}, Text="textbox", Photo="image")
    row = explained(app.endpoints, CAT).data[0]
    assert (row["outputs"], row["visible"]) == (["image", "textbox"], True)
    assert row["inputs"][0] == {
        "name": "Text",
        "position": 0,
        "label": "Text",
        "component": "textbox",
        "required": True,
        "default": None,
        "choices": [],
        "several": False,
        "file": False,
    }
    assert row["inputs"][1]["file"]
