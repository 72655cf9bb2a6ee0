"""What an error says."""

import pytest

from birthmark import errors, secrets


def test_a_message_is_one_line_without_secrets_or_escapes() -> None:
    secrets.keep("hunter2hunter2")
    said = str(errors.SettingError("a\x1b[31mred\nline with hunter2hunter2"))
    assert "hunter2" not in said
    assert said.isprintable()


@pytest.mark.parametrize(("name", "near"), [("kinshp", "kinship"), ("akg", "akh")])
def test_the_nearest_names_are_told(name: str, near: str) -> None:
    assert str(errors.nearest("method", name, ["kinship", "akh", "sac"])).startswith(
        f"no method named {name!r}; did you mean {near}"
    )


def test_where_nothing_is_near_all_are_told() -> None:
    assert "did you mean akh, kinship?" in str(errors.nearest("method", "zzzzzz", ["kinship", "akh"]))
