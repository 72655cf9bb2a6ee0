"""Fuzz every reader, or those that are named: `python tests/fuzz/run.py --inputs 100000 [READER ...]`.

Inputs follow from their numbers, so that every finding can be made again. What is found is kept under --found; put the
telling ones into the corpus, where the test suite reads them from then on.
"""

import argparse
import faulthandler
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from birthmark.artifact import write_atomically
from fuzz.harness import Fuzz, fuzzing
from fuzz.mutations import Files
from fuzz.readers import CHILDREN, READERS

MOST_KEPT = 10  # inputs of one kind of finding
HANG = 120  # seconds after which the process says where it is, and ends


def main() -> int:
    torch.set_num_threads(1)
    asked = _arguments()
    found = 0
    for name in asked.readers or READERS:
        with tempfile.TemporaryDirectory(prefix="birthmark-fuzz-") as place:
            base = Path(place).resolve() / "x"
            with fuzzing({**READERS, **CHILDREN}[name], base) as fuzz:
                record = many(fuzz, asked.first, asked.inputs, asked.seconds, asked.found / name)
        print(json.dumps({"reader": name, **record}), flush=True)
        found += len(record["findings"])
        if asked.record:
            _noted(asked.record, name, record)
    return 1 if found else 0


def many(fuzz: Fuzz, first: int, inputs: int, seconds: float, keep: Path) -> dict[str, object]:
    """Run inputs by number until they are done or the time is over; what was run and found."""
    start, kinds, done = time.monotonic(), dict[str, int](), 0
    for number in range(first, first + inputs):
        if time.monotonic() - start > seconds:
            break
        files, anew = fuzz.input(Random(number))
        if done % 100 == 0:
            faulthandler.dump_traceback_later(HANG, exit=True)
        if wrong := fuzz.run(files, anew):
            kinds[wrong] = kinds.get(wrong, 0) + 1
            if kinds[wrong] <= 1 and len(kinds) <= MOST_KEPT:
                _keep(files, keep / str(number), wrong)
        done += 1
    faulthandler.cancel_dump_traceback_later()
    took = round(time.monotonic() - start, 1)
    return {"inputs": done, "seconds": took, "accepted": fuzz.accepted, "refused": fuzz.refused, "findings": kinds}


def _keep(files: Files, place: Path, wrong: str) -> None:
    print(f"  {place}: {wrong}", file=sys.stderr, flush=True)
    for name, blob in files.items():
        file = place / name.replace("..", "__").replace("\0", "_")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob)


def _noted(path: Path, name: str, record: dict[str, object]) -> None:
    """Add to the record what was run; runs of one reader are added up.

    By hand: "mended", the kinds of finding that were there before.
    """
    whole = json.loads(path.read_bytes()) if path.is_file() else {}
    before = whole.get(name, {"inputs": 0, "seconds": 0.0})
    whole[name] = {
        **before,
        "inputs": before["inputs"] + record["inputs"],
        "seconds": round(before["seconds"] + record["seconds"], 1),
        "findings": len(record["findings"]),
    }
    write_atomically(path, (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "readers", nargs="*", metavar="READER", help=f"of {', '.join([*READERS, *CHILDREN])}; default those in process"
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="a reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="most for a reader")
    parser.add_argument("--found", type=Path, default=Path("out/fuzz"), help="where findings are kept")
    parser.add_argument("--record", type=Path, help="JSON file that says what was run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
