"""The names of the secrets that a Space asks for."""

from __future__ import annotations

import pytest

from spacedock_worker.hub.space import secrets_in


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["A_TOKEN"]',
        "os.environ.get('A_TOKEN', None)",
        'os.getenv("A_TOKEN")',
        'getenv( "A_TOKEN" )',
        'st.secrets["A_TOKEN"]',
        "process.env.A_TOKEN",
    ],
)
def test_what_code_reads_is_found(code: str) -> None:
    assert secrets_in("", code) == ("A_TOKEN",)


def test_variables_that_hold_no_secret_are_left_out() -> None:
    assert secrets_in("", 'os.getenv("PORT"); os.environ["HF_HOME"]; os.environ["SPACE_ID"]') == ()


def test_a_readme_names_them_in_its_text() -> None:
    assert secrets_in("Set OPENAI_API_KEY and `HF_TOKEN` first.", "") == ("OPENAI_API_KEY", "HF_TOKEN")


def test_each_is_named_once_and_not_too_many_are() -> None:
    code = "\n".join(f'os.getenv("K{number}_KEY")' for number in range(100))
    found = secrets_in("K1_KEY", code)
    assert found[:2] == ("K0_KEY", "K1_KEY")
    assert len(found) == len(set(found)) == 20
