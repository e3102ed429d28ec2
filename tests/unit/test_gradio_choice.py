"""Which endpoint the adapter picks on real apps' pages, and how it fills it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import app_of, chosen, file, filled, page, refusal

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import choose, rate
from spacedock_worker.adapters.binding.files import Upload
from spacedock_worker.adapters.gradio.description import App, describe

GO = {"api_name": "go", "inputs": [1], "outputs": [1]}


@pytest.fixture(params=["5.50.0", "6.31.0"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def usual(version: str) -> App:
    return app_of("usual", version)


@pytest.fixture
def media(version: str) -> App:
    return app_of("media", version)


@pytest.fixture
def components(version: str) -> App:
    return app_of("components", version)


def test_toggles_twins_lambdas_and_states_do_not_win(usual: App) -> None:
    assert chosen(usual, "a cat") == "/infer"


def test_the_choice_can_be_explained(usual: App) -> None:
    score = choose(usual.endpoints, AppCall("a cat")).score
    assert score is not None
    assert (score.no_chore, score.prompt_named, score.stateless) == (True, 2, True)


def test_a_named_endpoint_is_taken(usual: App) -> None:
    assert chosen(usual, "hi", endpoint="/chat") == "/chat"


def test_a_hidden_endpoint_is_taken_only_by_name(media: App) -> None:
    assert chosen(media, "hi", endpoint="/hidden") == "/hidden"
    assert "/hidden" not in refusal(media, "hi", endpoint="/nope")


def test_hidden_endpoints_serve_where_there_are_no_others() -> None:
    assert chosen(page(GO | {"show_api": False}, Text="textbox"), "hi") == "/go"
    assert chosen(page(GO | {"api_visibility": "private"}, Text="textbox"), "hi") == "/go"
    assert chosen(page(GO | {"api_name": False}, Text="textbox"), "hi") == "/fn_index/0"


def test_a_lambda_serves_where_it_is_alone() -> None:
    assert chosen(page(GO | {"api_name": "lambda"}, Text="textbox"), "hi") == "/lambda"


def test_an_app_without_inputs_fits_nothing() -> None:
    assert "no endpoint that takes an input" in refusal(page({"api_name": "go"}), "hi")


def button(number: int, words: str, variant: str = "secondary") -> dict[str, Any]:
    return {"id": number, "type": "button", "props": {"value": words, "variant": variant}}


def buttons(*dependencies: dict[str, Any]) -> App:
    """A page with the boxes 1 and 2, the main button 8 and another, 9."""
    boxes = [{"id": n, "type": "textbox", "props": {"label": f"Box {n}"}} for n in (1, 2)]
    parts = [*boxes, {"id": 3, "type": "state"}, button(8, "Roll", "primary"), button(9, "Flip")]
    return describe({"components": parts, "dependencies": list(dependencies)}, None)


ROLL = {"api_name": "lambda", "targets": [[8, "click"]], "outputs": [1]}
FLIP = {"api_name": "flip", "targets": [[9, "click"]], "outputs": [1]}


def test_a_call_that_says_nothing_presses_the_only_button() -> None:
    assert chosen(buttons(FLIP)) == "/flip"
    assert chosen(buttons({"api_name": "show", "targets": [[None, "load"]], "outputs": [2]}, FLIP)) == "/flip"


def test_the_only_button_is_pressed_though_its_words_are_those_of_a_chore() -> None:
    select = {"api_name": "lambda", "targets": [[8, "click"]], "inputs": [1], "outputs": [2]}
    read = {"api_name": "read_file", "targets": [[1, "change"]], "inputs": [1], "outputs": [2]}
    boxes = [{"id": 1, "type": "dropdown", "props": {"value": "a"}}, {"id": 2, "type": "textbox"}]
    parts = [*boxes, button(8, "Select")]
    assert chosen(describe({"components": parts, "dependencies": [read, select]}, None)) == "/lambda"


@pytest.mark.parametrize("both", [(ROLL, FLIP), (FLIP, ROLL)])
def test_of_several_buttons_the_main_one_is_pressed(both: tuple[dict[str, Any], ...]) -> None:
    assert chosen(buttons(*both)) == "/lambda"


def test_several_buttons_without_a_main_one_are_named() -> None:
    message = refusal(buttons(FLIP, FLIP | {"api_name": "turn"}))
    assert "`endpoint`" in message
    assert "/flip()" in message
    assert "/turn()" in message


def test_no_other_button_is_pressed_in_the_place_of_one_that_lacks_its_text() -> None:
    message = refusal(buttons(ROLL | {"inputs": [2]}, FLIP))
    assert "Box 2 needs a text" in message
    assert "/flip()" in message


def test_a_button_without_an_answer_is_pressed_where_no_other_is() -> None:
    assert chosen(buttons({"api_name": "save", "targets": [[9, "click"]]})) == "/save"


def test_a_prompt_for_an_app_that_takes_none_is_refused_with_what_to_do() -> None:
    assert "run it without a prompt" in refusal(buttons(FLIP), "hi")


def test_to_show_or_to_hide_a_part_of_the_page_is_no_answer() -> None:
    hide = {"api_name": "hide_all", "targets": [[8, "click"]], "inputs": [1], "outputs": [9]}
    assert "it gives no answer" in str(rate(buttons(hide).endpoints, AppCall("hi")))
    assert chosen(buttons(hide, FLIP | {"inputs": [2]}), "hi") == "/flip"


@pytest.mark.parametrize("variant", ["primary", "secondary"])
def test_a_lambda_behind_a_button_is_work(variant: str) -> None:
    count = {"api_name": "length", "targets": [[1, "change"]], "inputs": [1], "outputs": [2]}
    number = 8 if variant == "primary" else 9
    app = buttons(count, ROLL | {"inputs": [1], "targets": [[number, "click"]]})
    assert chosen(app, "hello") == "/lambda"


def test_a_function_is_called_on_purpose_where_the_head_of_its_chain_is() -> None:
    count = {"id": 0, "api_name": "length", "targets": [[1, "change"]], "inputs": [1], "outputs": [2]}
    dim = {"id": 1, "api_name": "dim", "targets": [[8, "click"]], "outputs": [8]}
    work = {"id": 2, "api_name": "f", "targets": [[None, "then"]], "trigger_after": 1, "inputs": [1]}
    assert chosen(buttons(count, dim, work | {"outputs": [2]}), "hello") == "/f"


def test_two_functions_of_one_name_can_both_be_called() -> None:
    shown = {"api_name": "go", "inputs": [1], "outputs": [2]}
    hidden = {"api_name": "go", "api_visibility": "undocumented", "outputs": [8]}
    for both in ((shown, hidden), (hidden, shown)):
        app = buttons(*both)
        assert [e.name for e in app.endpoints if e.visible] == ["/go"]
        assert sorted(app.functions) == ["/go", "/go_2"]
        assert chosen(app, "hi") == "/go"


def test_names_that_are_given_again_stay_different() -> None:
    told = {"inputs": [1], "outputs": [2]}
    names = ["go", "go_2", "go", "go", "x" * 300, "x" * 300]
    app = buttons(*({"api_name": name} | told for name in names))
    assert len(app.functions) == len(names)
    assert {function.fn_index for function in app.functions.values()} == set(range(len(names)))


def test_a_state_whose_change_fills_the_page_is_an_answer() -> None:
    add = {"id": 0, "api_name": "add", "targets": [[8, "click"]], "inputs": [3, 1], "outputs": [3]}
    show = {"id": 1, "api_name": "show", "targets": [[3, "change"]], "inputs": [3], "outputs": [2]}
    assert chosen(buttons(add, show), "7") == "/add"
    assert "it gives no answer" in str(rate(buttons(add).endpoints, AppCall("7")))


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"api_name": "clear_all"}, {"api_name": "work"}),
        ({"targets": [[1, "change"]]}, {"targets": [[2, "click"]]}),
        ({"targets": [[None, "load"]]}, {"targets": [[2, "click"]]}),
        ({"inputs": [2]}, {"inputs": [1]}),
        ({"inputs": [1, 4]}, {"inputs": [1]}),
        ({"trigger_after": 3}, {}),
        ({"inputs": [1, 3]}, {"inputs": [1]}),
        ({"api_name": "one"}, {"api_name": "translate"}),
    ],
)
@pytest.mark.parametrize("worse_first", [True, False])
def test_the_better_of_two_is_taken_wherever_it_stands(
    worse: dict[str, Any], better: dict[str, Any], worse_first: bool
) -> None:
    both = [GO | {"api_name": "good", "inputs": [1]} | better, GO | {"api_name": "bad"} | worse]
    app = page(*both[:: -1 if worse_first else 1], Prompt="textbox", Other="textbox", S="state", P="image")
    assert chosen(app, "hi") == "/" + str(both[0]["api_name"])


def test_the_main_button_decides_between_equals() -> None:
    button = {"id": 9, "type": "button", "props": {"variant": "primary", "value": "Do"}}
    plain = GO | {"api_name": "one"}
    main = GO | {"api_name": "two", "targets": [[9, "click"]]}
    box = {"id": 1, "type": "textbox"}
    app = describe({"components": [box, button], "dependencies": [plain, main]}, None)
    assert chosen(app, "hi") == "/two"


def test_a_tie_lists_the_candidates_with_their_parameters(components: App) -> None:
    message = refusal(components, "", file("a.png"))
    assert "`endpoint`" in message
    assert "/mirror(image: image)" in message
    assert "/size(image: image)" in message


def test_nothing_that_fits_says_why_for_each_endpoint(usual: App) -> None:
    message = refusal(usual, "", file("a.wav"))
    assert "/infer(prompt: textbox, negative: textbox, seed: slider = default)" in message
    assert "nothing takes a.wav (audio/wav)" in message


def test_files_go_by_their_media_type(components: App, media: App) -> None:
    assert chosen(components, "", file("a.wav")) == "/duration"
    assert chosen(media, "", file("a.mp4")) == "/watch"


def test_a_file_of_unknown_type_goes_where_it_is_told(components: App) -> None:
    assert filled(components, "/mirror", "", file("scan.unknown")) == (Upload(0),)


def test_several_files_go_to_a_slot_for_several(components: App) -> None:
    assert filled(components, None, "", file("a.txt"), file("b.txt")) == ([Upload(0), Upload(1)],)


def test_two_pictures_fill_two_slots_in_order(media: App) -> None:
    assert filled(media, "/compare", "", file("a.png"), file("b.png")) == (Upload(0), Upload(1))


def test_a_file_can_be_sent_to_a_slot_by_its_name(media: App) -> None:
    data = filled(media, "/compare", "", file("a.png"), file("b.png"), right="a.png")
    assert data == (Upload(1), Upload(0))


def test_a_second_slot_of_a_kind_may_stay_empty(media: App) -> None:
    assert filled(media, "/compare", "", file("a.png")) == (Upload(0), None)


def test_a_path_is_not_a_file_of_the_job(media: App) -> None:
    message = refusal(media, "", file("a.png"), endpoint="/compare", rest="x", value="/etc/passwd")
    assert "no input 'rest'" in message
    assert "send it with the job" in refusal(media, "", endpoint="/watch", value="/etc/passwd")


def test_a_missing_file_names_its_slot(media: App) -> None:
    assert "value needs a file (audio)" in refusal(media, "hello", endpoint="/speak")


def test_an_input_of_null_leaves_a_file_slot_empty(media: App) -> None:
    assert filled(media, "/speak", "hello", value=None) == (None, "hello")


def test_a_file_type_that_the_slot_does_not_list_is_refused(media: App) -> None:
    assert filled(media, "/read", "", file("a.pdf")) == (Upload(0),)
    assert filled(media, "/read", "", file("a.png")) == (Upload(0),)
    assert "nothing takes a.zip" in refusal(media, "", file("a.zip"), endpoint="/read")


def test_galleries_drawings_and_videos_have_their_shapes(media: App, version: str) -> None:
    clip = {"video": Upload(0), "subtitles": None} if version.startswith("5") else Upload(0)
    assert filled(media, "/watch", "", file("a.mp4")) == (clip,)
    assert filled(media, "/look", "", file("a.png")) == ([{"image": Upload(0), "caption": None}],)
    drawing = {"background": Upload(0), "layers": [], "composite": Upload(0)}
    assert filled(media, "/paint", "", file("a.png")) == (drawing,)


def test_text_and_files_share_a_multimodal_box(media: App) -> None:
    assert filled(media, "/ask", "what?", file("a.png")) == ({"text": "what?", "files": [Upload(0)]},)
    assert filled(media, "/ask", "what?") == ({"text": "what?", "files": []},)


def test_a_prompt_replaces_the_text_of_the_only_text_slot(media: App) -> None:
    assert filled(media, "/speak", "hello", file("a.wav")) == (Upload(0), "hello")
    assert filled(media, "/speak", "", file("a.wav")) == (Upload(0), "A voice says")


def test_a_prompt_beside_a_file_that_alone_is_asked_for_is_tolerated(components: App) -> None:
    assert filled(components, "/size", "read this sign", file("a.png")) == (Upload(0),)


def test_a_prompt_that_nothing_takes_is_refused(components: App) -> None:
    assert "the prompt has nowhere to go: it takes no text" in refusal(components, "hi", endpoint="/mirror")


def test_a_prompt_that_an_input_has_displaced_is_refused(usual: App) -> None:
    message = refusal(usual, "hi", endpoint="/with_state", text="other")
    assert "text is given as an input already" in message


def test_a_prompt_that_could_go_to_two_slots_is_refused(media: App) -> None:
    assert "give them by name" in refusal(media, "hi", endpoint="/join")


def test_a_text_slot_without_a_text_names_itself(usual: App) -> None:
    assert "prompt needs a text" in refusal(usual, "", endpoint="/infer", seed="3")


def test_a_negative_prompt_may_stay_empty(usual: App) -> None:
    assert filled(usual, "/infer", "a cat") == ("a cat", "", 3)


def test_a_state_is_sent_as_null_in_its_place(media: App) -> None:
    assert filled(media, "/remember", "hi") == (None, "hi")


def test_a_misnamed_input_can_be_given_by_its_label(media: App) -> None:
    assert filled(media, "/remember", "", Note="hi") == (None, "hi")


def test_a_prompt_fills_the_only_other_input_that_is_required(components: App) -> None:
    assert filled(components, "/describe", '{"a": 1}') == ({"a": 1},)
    message = refusal(components, "secret words", endpoint="/describe")
    assert "which the prompt is not" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("given", "sent"),
    [("b", ["b"]), ("Blue", ["b"]), ("blue, Red", ["b", "r"]), (["r"], ["r"]), ('["r", "b"]', ["r", "b"])],
)
def test_choices_are_taken_by_value_or_label(media: App, given: Any, sent: list[str]) -> None:
    assert filled(media, "/pick", value=given) == (sent,)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("repeat", "often", "repeat takes a number"),
        ("repeat", "inf", "repeat takes a finite number"),
        ("repeat", 10**400, "repeat takes"),
        ("strip", "perhaps", "strip takes true or false"),
        ("mark", "#", "mark takes one of !, ?, none"),
    ],
)
def test_a_value_that_its_component_does_not_take_is_refused(
    components: App, name: str, given: Any, why: str
) -> None:
    assert why in refusal(components, "hi", endpoint="/style", **{name: given})


def test_values_come_from_strings(components: App) -> None:
    data = filled(components, "/style", "hi", case="LOWER", mark="?", repeat="2", strip="no")
    assert data == ("hi", "lower", "?", 2, False)


@pytest.mark.parametrize("seed", [2**53 + 1, str(2**53 + 1), 2**64 - 1, -3])
def test_a_large_number_keeps_all_its_digits(components: App, seed: Any) -> None:
    assert filled(components, "/style", "hi", repeat=seed)[3] == int(seed)


def test_a_long_list_of_candidates_is_cut() -> None:
    many = [GO | {"api_name": f"work{n}" + "x" * n} for n in range(30)]
    message = refusal(page(*many, Text="textbox"), "hi")
    assert "and 18 more" in message


def test_files_stand_in_a_value_by_their_names() -> None:
    app = page({"api_name": "go", "inputs": [1, 2], "outputs": [2]}, Pages="gallery", Edit="imageeditor")
    pages = [{"image": {"file": "b.png"}, "caption": "two"}, {"image": {"file": "a.png"}, "caption": None}]
    edit = {"background": {"file": "a.png"}, "layers": [], "composite": None}
    data = filled(app, "/go", "", file("a.png"), file("b.png"), Pages=pages, Edit=edit)
    shown = [{"image": Upload(1), "caption": "two"}, {"image": Upload(0), "caption": None}]
    assert data == (shown, {"background": Upload(0), "layers": [], "composite": None})
    assert "takes a file" in refusal(app, "", file("a.png"), endpoint="/go", Pages=pages, Edit=edit)


def test_inputs_of_one_name_are_told_apart_by_their_places() -> None:
    app = page({"api_name": "go", "inputs": [1, 1], "outputs": [1]}, Text="textbox")
    assert filled(app, "/go", "", input_1="second", input_0="first") == ("first", "second")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("提示词", "负面提示词"),
        ("负面提示词", "提示词"),
        ("أدخل النص", "ملاحظات"),
        ("Текст", "Заметки"),
    ],
)
def test_boxes_that_are_named_in_another_script_are_no_pair(first: str, second: str) -> None:
    app = page(GO | {"inputs": [1, 2]}, **{first: "textbox", second: "textbox"})
    data = choose(app.endpoints, AppCall("hello")).filling.data
    assert data == (("", "hello") if first.startswith("负面") else ("hello", ""))


def test_boxes_of_one_name_with_numbers_are_a_pair_in_any_script() -> None:
    assert "give them by name" in refusal(
        page(GO | {"inputs": [1, 2]}, **{"Текст 1": "textbox", "Текст 2": "textbox"}), "hi"
    )


def test_a_button_that_clears_in_chinese_is_a_chore() -> None:
    boxes = [{"id": n, "type": "textbox", "props": {"label": f"框{'甲乙'[n - 1]}"}} for n in (1, 2)]
    parts = [*boxes, button(8, "清空"), button(9, "确定")]
    clear = {"api_name": "lambda", "targets": [[8, "click"]], "inputs": [1], "outputs": [1]}
    work = {"api_name": "lambda_1", "targets": [[9, "click"]], "inputs": [1], "outputs": [2]}
    assert chosen(describe({"components": parts, "dependencies": [clear, work]}, None), "你好") == "/lambda_1"


def test_an_editor_that_opens_with_an_example_gets_the_prompt_before_a_box_that_says_nothing() -> None:
    for label, expected in (("stdin", ("print(1)", "")), ("Question", ("print(0)", "print(1)"))):
        parts = [
            {"id": 1, "type": "code", "props": {"label": "Code", "value": "print(0)"}},
            {"id": 2, "type": "textbox", "props": {"label": label}},
        ]
        app = describe({"components": parts, "dependencies": [GO | {"inputs": [1, 2]}]}, None)
        assert choose(app.endpoints, AppCall("print(1)")).filling.data == expected


def test_a_prompt_that_is_no_choice_is_told_the_choices() -> None:
    parts = [{"id": 1, "type": "dropdown", "props": {"choices": ["lion", "tiger"], "value": "lion"}}]
    app = describe({"components": parts, "dependencies": [GO]}, None)
    assert "it takes no text, and input_0 takes one of lion, tiger" in refusal(app, "horse")
