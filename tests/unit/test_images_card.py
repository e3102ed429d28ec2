"""Front matter, as Spaces' authors write it."""

from __future__ import annotations

import time

import pytest

from spacedock_worker.images.space_card import SpaceCard, read_card, without_card


def test_versions_stay_what_was_written() -> None:
    card = read_card("---\nsdk: gradio\nsdk_version: 5.0\npython_version: 3.10\n---\n# Title\n")
    assert (card.sdk_version, card.python_version) == ("5.0", "3.10")


def test_every_field_is_read() -> None:
    text = '---\ntitle: "A: b"\nsdk: Docker\napp_port: 8080\napp_file: main.py\ntags:\n- x\n---\n'
    assert read_card(text) == SpaceCard(sdk="docker", app_port=8080, app_file="main.py")


@pytest.mark.parametrize(
    "text", ["", "# Just a title", "---\nsdk: gradio", "---\n- a\n- b\n---\n", "---\n\n---\n"]
)
def test_a_readme_without_front_matter_has_an_empty_card(text: str) -> None:
    assert read_card(text) == SpaceCard()


def test_windows_line_ends_and_a_byte_order_mark_are_taken() -> None:
    assert read_card("\ufeff---\r\nsdk: gradio\r\nsdk_version: 4.44.1\r\n---\r\n").sdk_version == "4.44.1"


@pytest.mark.parametrize("card", ["", "---\nsdk: gradio\n---\n", "\ufeff---\r\nsdk: gradio\r\n---\r\n"])
def test_what_stands_below_the_front_matter_stays(card: str) -> None:
    assert without_card(f"{card}# Title\n\n---\nmore\n---\n") == "# Title\n\n---\nmore\n---\n"


def test_what_is_not_yaml_is_read_line_by_line() -> None:
    card = read_card('---\ntitle: "broken\nsdk: gradio\nsdk_version: "6.31.0"\nemoji: @\n---\n')
    assert (card.sdk, card.sdk_version) == ("gradio", "6.31.0")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("1h", 3600), ("30m", 1800), ("1h30m", 5400), ("90s", 90), ("45", 45), ("soon", None), ("-1h", None)],
)
def test_the_time_that_a_start_may_take_is_read(said: str, seconds: int | None) -> None:
    assert read_card(f"---\nstartup_duration_timeout: {said}\n---\n").startup_seconds == seconds


@pytest.mark.parametrize("null", ["null", "~", "Null", ""])
def test_null_counts_as_not_said(null: str) -> None:
    assert read_card(f"---\nsdk: gradio\nsdk_version: {null}\n---\n") == SpaceCard(sdk="gradio")


def test_front_matter_of_any_length_keeps_its_keys() -> None:
    models = "".join(f"- someone/model-{number}\n" for number in range(2000))
    card = read_card(f"---\nmodels:\n{models}sdk: docker # last\napp_port: 8080\n---\n")
    assert card == SpaceCard(sdk="docker", app_port=8080)


@pytest.mark.parametrize("port", ["http", "-1", "0", "70000", "7.5", "99999999999999999999"])
def test_a_port_that_is_none_counts_as_not_said(port: str) -> None:
    assert read_card(f"---\napp_port: {port}\n---\n").app_port is None


@pytest.mark.parametrize("odd", ["[" * 60_000, "{a: " * 20_000, "[\ny: a" + " " * 60_000 + "b"])
def test_front_matter_that_is_made_to_keep_us_busy_is_read_in_time(odd: str) -> None:
    begun = time.process_time()
    assert read_card(f"---\nsdk: gradio\nx: {odd}\n---\n").sdk == "gradio"
    assert time.process_time() - begun < 5
