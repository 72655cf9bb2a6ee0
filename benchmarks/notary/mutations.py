"""Ten thousand random mutations of sealed evidence, and every flipped bit of its seal and key: none may be accepted.

    python benchmarks/notary/mutations.py [N]

Prints one JSON object: how many were tried, by kind; accepted, crashed, and the longest that one took. Half of the
mutations hit the zip, half one file of the folder, whose name the refusal must give. A minute on one core.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from birthmark.errors import ArtifactError
from birthmark.notary import folders
from birthmark.notary.signing import new_key
from notary.cases import Accuser, committed_claim, table_claim

SEED = 0


def mutated(blob: bytes, draws: random.Random) -> tuple[str, bytes]:
    """A mutation of bytes, and its kind; always another content."""
    start, n = draws.randrange(len(blob)), draws.randint(1, 64)
    kinds = {
        "bit": lambda: blob[:start] + bytes([blob[start] ^ 1 << draws.randrange(8)]) + blob[start + 1 :],
        "overwritten": lambda: blob[:start] + draws.randbytes(n) + blob[start + n :],
        "dropped": lambda: blob[:start] + blob[start + n :],
        "doubled": lambda: blob[: start + n] + blob[start:],
        "cut": lambda: blob[:start],
        "swapped": lambda: blob[start:] + blob[:start],
    }
    kind = draws.choice(list(kinds))
    other = kinds[kind]()
    return (kind, other) if other != blob else ("cut", blob[:-1])


def trials(files: dict[str, bytes], n: int) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Kind, the file that must be named ("" for the zip), and the files, or the zip as the file ""."""
    draws, whole, names = random.Random(SEED), folders.zipped(files), sorted(files)
    for i in range(n):
        if i % 2:
            kind, other = mutated(whole, draws)
            yield f"zip {kind}", "", {"": other}
        else:
            name = draws.choice(names)
            kind, other = mutated(files[name], draws)
            yield f"file {kind}", name, {**files, name: other}
    for name in (folders.SEAL, folders.KEY):
        for bit in range(8 * len(files[name])):
            altered = bytearray(files[name])
            altered[bit // 8] ^= 1 << bit % 8
            yield "every bit of seal and key", name, {**files, name: bytes(altered)}


def tried(name: str, content: dict[str, bytes], place: Path) -> str:
    """What became of one mutation: "refused", or what is wrong."""
    try:
        if not name:
            place.write_bytes(content[""])
            folders.load(place)
        else:
            with mock.patch.object(folders, "_folder", return_value=content):
                folders.load(place.parent)
    except ArtifactError as error:
        return "refused" if str(error).startswith(f"{name}: " if name else "") else "another file named"
    except Exception as error:
        return f"crashed: {type(error).__name__}"
    return "accepted"


def run(n: int) -> dict[str, object]:
    """Every trial, counted."""
    found, kinds, longest = Counter[str](), Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        accuser = Accuser(place / "a", new_key(place / "key.pem"), table_claim(25))
        files = accuser.sealed(accuser.commit(*committed_claim(accuser.claim)))
        for kind, name, content in trials(files, n):
            started = time.monotonic()
            found[tried(name, content, place / "e.zip")] += 1
            longest, kinds[kind] = max(longest, time.monotonic() - started), kinds[kind] + 1
    counts = {"tried": sum(kinds.values()), "outcomes": dict(found), "kinds": dict(sorted(kinds.items()))}
    return {"seed": SEED, **counts, "longest_s": round(longest, 2)}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000), indent=1))
