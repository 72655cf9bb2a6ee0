"""Write what the docs take from the code and the committed records: pages of methods and attacks, and every table
between markers (`docs_tables`).

`--check` writes nothing and fails if a page is stale.
"""

import argparse
import json
import sys
from pathlib import Path

import docs_attacks
import docs_methods
import docs_tables
from birthmark.notary.schema import schema

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[Path, str]:
    """The text of every page that is made, or holds a made table."""
    found = {DOCS / "methods" / name: text for name, text in docs_methods.pages().items()}
    found[DOCS / "attacks.md"] = docs_attacks.page()
    found[DOCS / "evidence.schema.json"] = json.dumps(schema(), indent=1, sort_keys=True) + "\n"
    for path in sorted(DOCS.glob("*.md")):
        if docs_tables.MARKED.search(text := path.read_text()):
            found[path] = docs_tables.filled(text)
    return found


def stale() -> dict[Path, str]:
    """Pages that are not what they should be."""
    return {path: text for path, text in pages().items() if not path.is_file() or path.read_text() != text}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a page is stale")
    check, found = parser.parse_args().check, stale()
    for path, text in found.items():
        print(f"stale: {path.relative_to(DOCS.parent)}; run make docs" if check else path.relative_to(DOCS.parent))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
