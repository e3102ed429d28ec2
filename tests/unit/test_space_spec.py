"""From a registry entry to the container that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.control.registry import CLIENT_FIELDS
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.space_spec import spec_of
from spacedock_worker.registry.entry import SpaceEntry

IMAGE = Image("mood:latest", "sha256:1", built=True, cache="/home/user/.cache")
HOST_ONLY = {"id", "repository", "auth", "secrets", "runtime", "writable_root", "gpu"} | {
    "hardware",
    "tags",
    "likes",
    "confidence",
    "verified",
    "discovered",
}


def spec(image: Image = IMAGE, *, private: bool = False, **fields: Any) -> ContainerSpec:
    entry = SpaceEntry.model_validate({"id": "mood", **fields})
    return spec_of(entry, image, {"TOKEN": "a token"}, private=private)


def test_what_the_entry_does_not_say_is_safe() -> None:
    found = spec()
    assert (found.gpu, found.calls, found.runtime, found.cpus, found.memory) == ("none", 1, None, None, None)
    assert (found.sealed, found.private, found.read_only, found.cache) == (False, False, True, IMAGE.cache)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"gpu": "auto"}, {"gpu": "auto"}),
        ({"gpu": 2}, {"gpu": 2}),
        ({"gpu": [0, "GPU-5f"]}, {"gpu": ("0", "GPU-5f")}),
        ({"runtime": "runsc"}, {"runtime": "runsc"}),
        ({"cpus": 1.5, "calls": 4}, {"cpus": 1.5, "calls": 4}),
        ({"memory": 2**30}, {"memory": 2**30}),
        ({"memory": "4GB"}, {"memory": 4 * 2**30}),
        ({"memory": "1.5 GiB"}, {"memory": 3 * 2**29}),
        ({"memory": "512m"}, {"memory": 2**29}),
        ({"writable_root": True}, {"read_only": False}),
        ({"writable_root": False}, {"read_only": True}),
        ({"cache": False}, {"cache": None}),
        ({"network": False}, {"sealed": True, "private": False}),
    ],
)
def test_a_field_has_its_effect(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = spec(**fields)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"gpu": 0},
        {"gpu": True},
        {"gpu": "all"},
        {"gpu": []},
        {"gpu": ["a b"]},
        {"runtime": "a b"},
        {"runtime": "/bin/sh"},
        {"cpus": 0},
        {"calls": 0},
        {"memory": "much"},
        {"memory": "1MB"},
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**fields)


def test_a_private_job_has_a_sealed_container_of_its_own() -> None:
    private = spec(private=True)
    assert (private.private, private.sealed) == (True, True)
    assert private.key not in {spec().key, spec(network=False).key}


def test_the_root_of_every_image_is_read_only_at_first() -> None:
    for built in (True, False):
        assert spec(Image("mood:latest", "sha256:1", built=built)).read_only


def test_secrets_go_on_and_are_not_shown() -> None:
    assert spec().secrets == {"TOKEN": "a token"}
    assert "a token" not in repr(spec())


def test_of_every_field_it_is_decided_whether_a_client_may_set_it() -> None:
    assert SpaceEntry.model_fields.keys() == CLIENT_FIELDS | HOST_ONLY
    assert not CLIENT_FIELDS & HOST_ONLY
