"""Which base image a Space gets."""

from __future__ import annotations

from spacedock_worker.images.build.flavours import base_names, choose_base


def test_a_configured_image_goes_first() -> None:
    assert choose_base("3.11", {"3.11": "mine:1"}, {"spacedock/python:3.11"}) == "mine:1"


def test_the_local_image_goes_before_the_one_to_pull() -> None:
    assert choose_base("3.11.4", {}, {"spacedock/python:3.11"}) == "spacedock/python:3.11"
    assert choose_base("3.12", {}, {"spacedock/python:3.11"}) == "python:3.12-slim"


def test_undeclared_is_the_hubs_default_where_nothing_is_here() -> None:
    assert choose_base(None, {}, set()) == "python:3.10-slim"


def test_undeclared_takes_what_is_here_nearest_to_the_default() -> None:
    assert (
        choose_base(None, {}, {"spacedock/python:3.13", "spacedock/python:3.11"}) == "spacedock/python:3.11"
    )
    assert choose_base(None, {}, {"python:3.12-slim", "redis:7"}) == "python:3.12-slim"
    assert choose_base(None, {"3.12": "mine:12"}, {"mine:12", "spacedock/python:3.11"}) == "mine:12"


def test_a_version_that_is_none_counts_as_undeclared() -> None:
    assert choose_base("latest", {}, {"spacedock/python:3.11"}) == "spacedock/python:3.11"


def test_a_local_image_is_called_as_podman_calls_it() -> None:
    local, hub = "localhost/spacedock/python:3.11", "docker.io/library/python:3.12-slim"
    assert choose_base("3.11", {}, {local}) == local
    assert choose_base("3.12", {}, {local, hub}) == hub
    assert choose_base(None, {}, {local, "docker.io/library/redis:7"}) == local
    assert (
        choose_base(None, {}, {"docker.io/library/python:3.10-slim"}) == "docker.io/library/python:3.10-slim"
    )


def test_every_name_that_is_looked_for_is_chosen_where_it_is_all_there_is() -> None:
    assert {"spacedock/python:3.11", "python:3.10-slim", "mine:1"} <= base_names({"3.11": "mine:1"})
    assert all(choose_base(None, {}, {name}) == name for name in base_names({}))
