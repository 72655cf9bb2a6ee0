"""Coverage-guided fuzzing of one reader by atheris: `python tests/fuzz/guided.py READER [libFuzzer's options]`.

An input's first three bytes choose a good input, one of its files, and whether digests are made anew; the rest is that
file's content. What is found ends the run, and lies in a file `crash-...` that this script takes as an argument.
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
with atheris.instrument_imports(include=["birthmark"]):
    from fuzz.harness import Fuzz, fuzzing
    from fuzz.readers import READERS


def main() -> None:
    name, rest = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="birthmark-fuzz-") as place:
        base = Path(place).resolve()
        with fuzzing(READERS[name], base / "x") as fuzz:
            given = [] if any(not option.startswith("-") for option in rest) else [_seeds(fuzz, base / "seeds")]
            atheris.Setup([sys.argv[0], *rest, *given], lambda blob: _one(fuzz, blob))
            atheris.Fuzz()


def _one(fuzz: Fuzz, blob: bytes) -> None:
    if len(blob) < 3:
        return
    reader, files = fuzz.reader, fuzz.seeds[blob[0] % len(fuzz.seeds)]
    packed = bool(blob[2] & 1) and reader.unpack is not None and reader.pack is not None
    parts = reader.unpack(files) if packed and reader.unpack else files
    name = sorted(parts)[blob[1] % len(parts)]
    parts = {**parts, name: blob[3:]}
    if wrong := fuzz.run(reader.pack(parts) if packed and reader.pack else parts, packed):
        raise RuntimeError(wrong)


def _seeds(fuzz: Fuzz, place: Path) -> str:
    """A folder of the good inputs, file by file, as atheris starts from."""
    place.mkdir()
    for i, files in enumerate(fuzz.seeds):
        for packed, parts in ((0, files), (1, fuzz.reader.unpack(files) if fuzz.reader.unpack else {})):
            for j, name in enumerate(sorted(parts)):
                (place / f"{i}-{j}-{packed}").write_bytes(bytes([i, j, packed]) + parts[name])
    return str(place)


if __name__ == "__main__":
    main()
