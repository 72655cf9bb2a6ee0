"""Words per sentence in README and docs: `python scripts/prose.py [--worst N] [PAGE ...]`.

Counted is running text: not headings, tables, code, quotations or comments. A list item is text of its own. Code in a
line is one word; a link is its words.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONG = 25  # words from which a sentence should be two
FENCE = re.compile(r"^```.*?^```$|<!--.*?-->", re.S | re.M)
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?])[)\"*”]*\s+(?=[\"“(*_`\[]*[A-Z0-9`\[])")
ABBREVIATED = re.compile(r"\b(e\.g|i\.e|et al|vs|cf|Fig|No|approx|St)\.\s")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page, and its number of words."""

    page: Path
    text: str

    @property
    def words(self) -> int:
        return len([word for word in self.text.split() if re.search(r"\w", word)])


def pages() -> list[Path]:
    """README, SECURITY, CONTRIBUTING and everything below docs."""
    return [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")] + sorted(
        (ROOT / "docs").rglob("*.md")
    )


def blocks(text: str) -> list[str]:
    """Paragraphs and list items, each in one line."""
    found: list[str] = [""]
    after_blank, listed = True, False
    for line in FENCE.sub("\n", text).splitlines():
        item, blank = ITEM.match(line), not line.strip()
        code = line.startswith("    ") and after_blank and not listed
        if blank or code or line.lstrip().startswith(("#", "|", ">")):
            found.append("")
            listed = listed and (blank or line.startswith("  "))
        elif item:
            found.append(line[item.end() :])
            listed = True
        else:
            listed = listed and line.startswith("  ")
            found[-1] = f"{found[-1]} {line.strip()}".strip()
        after_blank = blank or code
    return [block for block in found if block]


def sentences(page: Path) -> list[Sentence]:
    """All sentences of a page."""
    found = []
    for block in blocks(page.read_text(encoding="utf-8")):
        plain = re.sub(r"`[^`]+`", "Code", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", block))
        plain = ABBREVIATED.sub(r"\1 ", plain)
        found += [Sentence(page, part.strip()) for part in END.split(plain) if re.search(r"\w", part)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="pages; default all")
    parser.add_argument("--worst", type=int, default=5, help="longest sentences to print")
    given = parser.parse_args()
    everything: list[Sentence] = []
    for page in [path.resolve() for path in given.pages] or pages():
        found = sentences(page)
        everything += found
        if found:
            print(f"{summary(found)}  {page.relative_to(ROOT)}")
    print(f"{summary(everything)}  in all")
    for one in sorted(everything, key=lambda s: -s.words)[: given.worst]:
        print(f"\n{one.words} words, {one.page.relative_to(ROOT)}:\n  {one.text}")


def summary(found: list[Sentence]) -> str:
    """Mean, share above LONG and longest."""
    words = [one.words for one in found]
    above = sum(n > LONG for n in words) / len(words)
    mean = sum(words) / len(words)
    return f"{len(words):4d} sentences, mean {mean:4.1f}, above {LONG}: {above:4.0%}, longest {max(words):3d}"


if __name__ == "__main__":
    main()
