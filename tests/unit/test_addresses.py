"""Addresses of Spaces, as people copy them."""

from __future__ import annotations

import pytest

from spacedock.errors import BadRequestError
from spacedock.prepare import hub_id_of, prepare


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/spaces/Ann_1/my.space-2",
        "http://huggingface.co/spaces/Ann_1/my.space-2/",
        "https://huggingface.co/spaces/Ann_1/my.space-2/tree/main",
        "https://huggingface.co/spaces/Ann_1/my.space-2?logs=container#top",
        " HTTPS://HuggingFace.co/spaces/Ann_1/my.space-2 ",
        "huggingface.co/spaces/Ann_1/my.space-2",
        "hf.co/spaces/Ann_1/my.space-2",
        "https://hub.example.org:8443/spaces/Ann_1/my.space-2",
    ],
)
def test_a_page_is_its_space(address: str) -> None:
    assert hub_id_of(address) == "Ann_1/my.space-2"
    assert prepare("x", (), address, {})[0].space == "Ann_1/my.space-2"


@pytest.mark.parametrize("name", ["mood", "ann/mood", "huggingface/thing", "hf.co", "./dir"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert hub_id_of(name) == name


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://ann-my-space.hf.space", "does not tell its id"),
        ("https://ann-my-space.hf.space/?x=1", "does not tell its id"),
        ("https://huggingface.co/ann/model", "no Space's page"),
        ("https://huggingface.co/spaces/ann", "no Space's page"),
        ("https://huggingface.co/datasets/ann/x", "no Space's page"),
        ("https://example.org", "no Space's page"),
    ],
)
def test_an_address_of_something_else_is_refused(address: str, why: str) -> None:
    with pytest.raises(BadRequestError, match=why):
        hub_id_of(address)
