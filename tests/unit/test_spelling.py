"""Slips of the keyboard in words that are known."""

from __future__ import annotations

import pytest

from spacedock_worker.recommend.taxonomy import Spelling

SPELLING = Spelling(["translate", "picture", "sentiment", "painting", "pointing"])


@pytest.mark.parametrize("slip", ["translat", "transalte", "translatte", "tranzlate", "translate"])
def test_one_slip_is_mended(slip: str) -> None:
    assert SPELLING.mended(f"{slip} it") == "translate it"


@pytest.mark.parametrize("word", ["ranslate", "trnslte", "transition", "pic", "p1cture", "pinting"])
def test_what_is_in_doubt_stays(word: str) -> None:
    assert SPELLING.mended(word) == word


def test_marks_beside_a_word_stay() -> None:
    assert SPELLING.mended("a pictrue, please") == "a picture, please"
