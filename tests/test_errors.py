"""Texts that everybody may see hold no secret and have no end without one."""

import pytest

from reconciler.errors import HIDDEN_NAME, shown_name


@pytest.mark.parametrize(
    ("name", "want"),
    [
        pytest.param("max_files", "max_files", id="a name"),
        pytest.param("größe", "größe", id="letters of any language"),
        pytest.param("a" * 80, "a" * 80, id="just short enough"),
        pytest.param("a" * 130_000, "a" * 80 + "…", id="cut"),
        pytest.param("https://user:pw@h", HIDDEN_NAME, id="URL with a password"),
        pytest.param("user:pw@h", HIDDEN_NAME, id="address"),
        pytest.param("a" * 100 + "@", HIDDEN_NAME, id="address behind the cut"),
        pytest.param("https://h", HIDDEN_NAME, id="URL"),
        pytest.param("a\x1b[31m\n", "a\ufffd[31m\ufffd", id="control characters"),
    ],
)
def test_name_in_a_message(name: str, want: str) -> None:
    assert shown_name(name) == want
