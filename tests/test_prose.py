"""What is written for people stays readable: short sentences, one thought each."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prose", ROOT / "scripts" / "prose.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sentences_are_counted_as_a_reader_would(prose: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading is no sentence at all\n\nOne two `three and more` four. Five [six seven](a.md), e.g. eight "
        "nine!\nTen at .05 eleven\n\n| a table | counts nothing |\n\n    and code neither\n\n"
        "```\nnor this. Or this.\n```\n<!-- nor what nobody sees -->\n* an item\n  that goes on\n* another\n"
    )
    assert [sentence.words for sentence in prose.sentences(page)] == [4, 6, 4, 5, 1]


def test_the_documentation_is_readable(prose: ModuleType) -> None:
    pages = {page: prose.sentences(page) for page in prose.pages()}
    long = [f"{s.page.name}: {s.words} words: {s.text}" for found in pages.values() for s in found if s.words > 35]
    assert not long, "one thought a sentence; see scripts/prose.py"
    every = [sentence.words for found in pages.values() for sentence in found]
    assert sum(every) / len(every) <= 18
