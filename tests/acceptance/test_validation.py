"""`spacedock spaces validate` and `spacedock tiers`, from the command line."""

from __future__ import annotations

import json

from tests.acceptance.running import Daemon

from spacedock import SyncClient


def test_a_space_is_validated_and_its_verdict_shown(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "validate", "openapi-sentiment", "--deep")
    assert ran.code == 0, ran.err
    assert "call       it answered a trial call to /predict with text" in ran.out
    shown = daemon.spacedock("spaces", "show", "openapi-sentiment").result
    assert (shown["verified"]["works"], shown["verified"]["deep"]) == (True, True)
    assert daemon.spacedock("run", "what a wonderful day", "--space", "openapi-sentiment").out == "glad\n"


def test_one_that_does_not_work_fails_the_command(daemon: Daemon) -> None:
    ran = daemon.spacedock("spaces", "validate", "openapi-sentiment", "static", "--json")
    assert ran.code == 1
    found = ran.result
    assert [row["works"] for row in found.values()] == [True, False]
    assert [one["status"] for one in found["static"]["checks"] if one["name"] == "sdk"] == ["bad"]


def test_names_or_all_must_be_given_and_be_known(daemon: Daemon) -> None:
    assert daemon.spacedock("spaces", "validate").code == 2
    unknown = daemon.spacedock("spaces", "validate", "nothing-of-the-kind")
    assert (unknown.code, "nothing-of-the-kind" in unknown.err) == (2, True)


def test_the_tiers_are_shown_for_people_scripts_and_python(daemon: Daemon) -> None:
    shown = daemon.spacedock("tiers")
    assert shown.code == 0
    for words in (
        "This host: ",
        "Tier 2 (heavy): Spaces",
        "Tier 1 (fast)",
        "System default (SmolLM)",
        "Limits",
    ):
        assert words in shown.out
    assert max(map(len, shown.out.splitlines())) < 80
    found = json.loads(daemon.spacedock("tiers", "--json").out)
    assert found["default"]["state"] in ("ready", "loading", "resting")
    with SyncClient(daemon.url) as client:
        assert client.tiers()["limits"] == found["limits"]
        assert client.spaces.validate("static")["works"] is False
