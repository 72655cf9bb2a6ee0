"""Fuzz every reader, or those that are named: `python tests/fuzz/run.py --inputs 100000 [READER ...]`.

Inputs follow from their numbers, so that every finding can be made again. What is found is kept under --found; put the
telling ones into the corpus, where the test suite reads them from then on.
"""

import argparse
import faulthandler
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from birthmark.artifact import write_atomically
from fuzz.harness import Fuzz, fuzzing
from fuzz.mutations import Files
from fuzz.readers import CHILDREN, READERS

MOST_KEPT = 10  # inputs of one kind of finding
HANG = 600  # seconds after which the process says where it is, and ends
CHUNK = 5_000  # inputs between two looks at the record
MEMORY = Path("/dev/shm")  # files that touch no disk: ten times as many inputs a second

Record = dict[str, Any]


def main() -> int:
    torch.set_num_threads(1)
    asked = _arguments()
    found, known = 0, {**READERS, **CHILDREN}
    for name in asked.readers or READERS:
        first = asked.first
        if asked.record:
            first = _noted(asked.record).get(name, {"inputs": 0})["inputs"]
        if first >= asked.inputs:
            continue
        there = MEMORY if MEMORY.is_dir() else None
        with (
            tempfile.TemporaryDirectory(prefix="birthmark-fuzz-", dir=there) as place,
            fuzzing(known[name], Path(place).resolve() / "x") as fuzz,
        ):
            for start in range(first, asked.inputs, CHUNK):
                record = many(fuzz, range(start, min(start + CHUNK, asked.inputs)), asked.found / name)
                found += len(record["findings"])
                if asked.record:
                    _note(asked.record, name, record)
        print(json.dumps({"reader": name, **record}), flush=True)
    return 1 if found else 0


def many(fuzz: Fuzz, numbers: range, keep: Path) -> Record:
    """Run the inputs of these numbers; what was run and found."""
    start, kinds = time.process_time(), dict[str, int]()
    accepted, refused = fuzz.accepted, fuzz.refused
    gc.collect()
    gc.freeze()  # what libraries hold is not looked at again for every input
    for number in numbers:
        files, anew = fuzz.input(Random(number))
        if number % 100 == 0:
            faulthandler.dump_traceback_later(HANG, exit=True)
        if wrong := fuzz.run(files, anew):
            kinds[wrong] = kinds.get(wrong, 0) + 1
            if kinds[wrong] <= 1 and len(kinds) <= MOST_KEPT:
                _keep(files, keep / str(number), wrong)
    faulthandler.cancel_dump_traceback_later()
    return {
        "inputs": len(numbers),
        "seconds": round(time.process_time() - start, 1),
        "accepted": fuzz.accepted - accepted,
        "refused": fuzz.refused - refused,
        "findings": kinds,
    }


def _keep(files: Files, place: Path, wrong: str) -> None:
    print(f"  {place}: {wrong}", file=sys.stderr, flush=True)
    for name, blob in files.items():
        file = place / name.replace("..", "__").replace("\0", "_")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob)


def _noted(path: Path) -> dict[str, Record]:
    found: dict[str, Record] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _note(path: Path, name: str, record: Record) -> None:
    """Add to the record what was run: inputs, CPU seconds, and how many of each finding.

    By hand: a finding that was mended moves to "mended", and the inputs of its reader are run again.
    """
    whole = _noted(path)
    before = whole.get(name, {"findings": {}})
    summed = {key: round(before.get(key, 0) + record[key], 1) for key in ("inputs", "seconds", "accepted", "refused")}
    kinds = {key: before["findings"].get(key, 0) + n for key, n in record["findings"].items()}
    whole[name] = {**before, **summed, "findings": {**before["findings"], **kinds}}
    write_atomically(path, (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "readers", nargs="*", metavar="READER", help=f"of {', '.join([*READERS, *CHILDREN])}; default those in process"
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="a reader, those that the record knows among them")
    parser.add_argument("--first", type=int, default=0, help="number of the first input, where there is no record")
    parser.add_argument("--found", type=Path, default=Path("out/fuzz"), help="where findings are kept")
    parser.add_argument("--record", type=Path, help="JSON file that says what was run; a rerun goes on from there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
