"""Recommendations and routing by a real daemon, through the real command."""

from __future__ import annotations

from tests.acceptance.running import FIXTURES, Daemon


def test_recommendations_are_ranked_and_say_why(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "recommend", "Is this review positive?", "-n", "2", "--json")
    assert ran.code == 0, ran.err
    first, *_ = ran.result["spaces"]
    assert first["name"] in {"sentiment", "mood", "openapi-sentiment"}
    assert "takes text and gives text" in first["reasons"]
    assert ran.result["task"] == "sentiment analysis"
    table = daemon.spacedock("spaces", "recommend", "Is this review positive?")
    assert "made for sentiment analysis" in table.out
    assert "it looks like sentiment analysis" in table.err


def test_a_file_decides_by_its_kind(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "recommend", "--file", FIXTURES / "hello.wav", "--json")
    assert [space["name"] for space in ran.result["spaces"]] == ["transcribe"]


def test_a_category_for_words_names_its_spaces(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "recommend", "text_processing", "--json")
    assert {"sentiment", "mood"} <= {space["name"] for space in ran.result["spaces"]}


def test_where_nothing_fits_it_says_what_to_do(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "recommend", "make a video of a cat")
    assert ran.code == 1
    assert ran.out == ""
    assert "no Space of the registry is made for making videos" in ran.err
    assert "spacedock spaces discover specialized" in ran.err


def test_a_recommendation_needs_something_to_go_by(daemon: Daemon) -> None:
    assert daemon.spacedock("spaces", "recommend").code == 2
    assert "Categories:" in daemon.spacedock("spaces", "recommend", "x", "--category", "poems").err


def test_a_specialised_task_finds_its_space_by_itself(daemon: Daemon) -> None:
    result = daemon.spacedock("run", "--file", FIXTURES / "hello.wav", "--json").result
    assert result["answered_by"]["name"] == "transcribe"
    assert "hello world" in result["output"]["text"].lower()


def test_the_tier_heavy_says_where_nothing_fits(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "make a video of a cat", "--tier", "heavy")
    assert ran.code == 1
    assert "the tier heavy needs a Space, and no Space of the registry is made for making videos" in ran.err
