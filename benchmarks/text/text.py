"""Text: are fine-tuned copies of a text classifier found, and unrelated ones left alone, by probabilities, by labels,
and over HTTP?

    python benchmarks/text/text.py data FOLDER              # on Debian: reads apt-cache dumpavail
    python benchmarks/text/text.py source N FOLDER          # one source with its suspects -> FOLDER/source-N.json
    python benchmarks/text/text.py table FOLDER OUT.json

The data are the one-line descriptions of Debian's packages, to be told by section (ten of them). A model is a bag of
hashed words and pairs of words, embedded, and two layers; it takes texts. Claims are made by `birthmark.enroll` of what
models answer. A source, its 19 same-start twins, eight references (four on the source's data, four on the reserve, all
of other starts) with a fine-tuned copy and a student of each. Suspects of each source: six fine-tuned copies; and six
unrelated models, two each of other data, other data from the source's own start, and the same data from another start.
"""

import json
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn import functional

import birthmark
from birthmark import suspects
from birthmark.enrolment import Also
from birthmark.inputs import texts
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Function
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Answers, Samples

SECTIONS = ("admin", "games", "graphics", "misc", "net", "science", "sound", "text", "utils", "x11")
SIZES = {"owner": 3000, "reserve": 1500, "thief": 2000, "innocent": 3000, "pool": 1500}
BUCKETS, WIDE, HIDDEN, EPOCHS, TWINS, QUERIES, ALPHA = 8192, 32, 48, 10, 19, 600, 0.05
DEVELOPMENT = 100  # sources from this number on are for looking while this was written


class Words(nn.Module):
    """Texts -> logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(BUCKETS, WIDE, mode="mean")
        self.rest = nn.Sequential(nn.Linear(WIDE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(SECTIONS)))

    def forward(self, given: Sequence[str]) -> Tensor:
        places = [buckets(text) for text in given]
        starts = np.cumsum([0, *(len(place) for place in places[:-1])])
        return self.rest(self.embed(torch.tensor([b for place in places for b in place]), torch.from_numpy(starts)))


KNOWN: dict[str, list[int]] = {}


def buckets(text: str) -> list[int]:
    """Numbers of a text's words and of its pairs of words."""
    if text not in KNOWN:
        words = text.lower().split() or [""]
        pairs = [f"{a} {b}" for a, b in pairwise(words)]
        KNOWN[text] = [zlib.crc32(part.encode()) % BUCKETS for part in (*words, *pairs)]
    return KNOWN[text]


def train(
    data: tuple[list[str], Tensor],
    *,
    start: int,
    course: int,
    model: Words | None = None,
    rate: float = 1e-2,
    epochs: int = EPOCHS,
    last: bool = False,
) -> Words:
    """A model from a start (or from `model`) on data (texts, class numbers or probabilities)."""
    given, targets = data
    torch.manual_seed(start)
    made = Words()
    if model is not None:
        made.load_state_dict(model.state_dict())
    torch.manual_seed(course)
    chosen = list(made.rest[-1].parameters() if last else made.parameters())
    steps = epochs * -(-len(given) // 64)
    optimiser = torch.optim.AdamW(chosen, lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for _ in range(epochs):
        for part in torch.randperm(len(given)).split(64):
            cost = functional.cross_entropy(made([given[i] for i in part]), targets[part])
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            schedule.step()
    return made.eval()


@torch.no_grad()
def predict(model: Words, given: Any) -> np.ndarray:
    """Probabilities (n, 10)."""
    return functional.softmax(model(list(given)), dim=1).double().numpy()


def read(folder: Path, seed: int) -> dict[str, tuple[list[str], Tensor]]:
    """The parts, drawn anew for each source."""
    rows = json.loads((folder / "packages.json").read_text())
    order, found, at = np.random.default_rng(seed).permutation(len(rows)), {}, 0
    for part, size in SIZES.items():
        chosen = [rows[i] for i in order[at : at + size]]
        found[part] = ([text for text, _ in chosen], torch.tensor([SECTIONS.index(section) for _, section in chosen]))
        at += size
    assert at <= len(rows)
    return found


def packages(folder: Path) -> None:
    """Different descriptions of one section each, sorted."""
    said = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    known: dict[str, set[str]] = {}
    for entry in said.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[:1] != " ")
        section = fields.get("Section", "").rpartition("/")[2]
        if section in SECTIONS and "Description" in fields:
            known.setdefault(fields["Description"], set()).add(section)
    rows = sorted((text, *found) for text, found in known.items() if len(found) == 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "packages.json").write_text(json.dumps(rows))
    print(len(rows), sha256(json.dumps(rows).encode()).hexdigest())


@contextmanager
def served(model: Words) -> Iterator[str]:
    """The model behind HTTP: {"texts": [...]} -> {"rows": [...]}, as a server of one's own would."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"rows": predict(model, asked["texts"]).tolist()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def copies(source: Words, parts: dict[str, tuple[list[str], Tensor]], seed: int) -> dict[str, Words]:
    """Six fine-tuned copies."""
    how = {
        "tuned gently": {"rate": 1e-3, "epochs": 2},
        "tuned": {"rate": 3e-3, "epochs": 3},
        "tuned hard": {"rate": 1e-2, "epochs": 3},
        "tuned long": {"rate": 3e-3, "epochs": 8},
        "last layer tuned": {"rate": 1e-2, "epochs": 3, "last": True},
        "tuned on a few": {"rate": 3e-3, "epochs": 5},
    }
    few = (parts["thief"][0][:300], parts["thief"][1][:300])
    return {
        name: train(few if "few" in name else parts["thief"], start=0, course=seed + i, model=source, **settings)
        for i, (name, settings) in enumerate(how.items())
    }


def unrelated(start: int, parts: dict[str, tuple[list[str], Tensor]], seed: int) -> dict[str, Words]:
    """Six models that were made without the source."""
    made = {}
    for i in range(2):
        made[f"other data {i}"] = train(parts["innocent"], start=seed + 50 + i, course=seed + 60 + i)
        made[f"other data, same start {i}"] = train(parts["innocent"], start=start, course=seed + 70 + i)
        made[f"same data, other start {i}"] = train(parts["owner"], start=seed + 80 + i, course=seed + 90 + i)
    return made


def answering(model: Words) -> Callable[[Any], np.ndarray]:
    return lambda given: predict(model, given)


def one_source(number: int, folder: Path) -> None:
    """Enrol one source, and test its twelve suspects three ways."""
    began = time.monotonic()
    parts, start = read(folder, number), 7_000_003 * (number + 1)
    source = train(parts["owner"], start=start, course=start + 1)
    twins = [train(parts["owner"], start=start, course=start + 1000 + i) for i in range(TWINS)]
    references, treated = [], list[Words]()
    for i in range(8):
        data = parts["owner" if i % 2 else "reserve"]
        references.append(train(data, start=start + 2000 + i, course=start + 2100 + i))
        soft = torch.from_numpy(predict(references[-1], parts["reserve"][0])).float()
        tuned = train(parts["reserve"], start=0, course=start + 2200 + i, model=references[-1], rate=3e-3, epochs=3)
        treated += [tuned, train((parts["reserve"][0], soft), start=start + 2300 + i, course=start + 2400 + i)]
    given, truth = parts["pool"]
    pool = Samples(texts(given), truth.numpy(), len(SECTIONS))
    trained = Samples(texts(parts["owner"][0]), parts["owner"][1].numpy(), len(SECTIONS))
    claim = birthmark.enroll(
        answering(source),
        [answering(one) for one in twins],
        [answering(one) for one in references],
        pool,
        start="same",
        method=Kinship(queries=QUERIES),
        also=Also(treated=[answering(one) for one in treated], train=trained),
    )
    rows = []
    for derived, made in ((True, copies(source, parts, start + 3000)), (False, unrelated(start, parts, start + 4000))):
        for name, model in made.items():
            right = float((predict(model, given).argmax(axis=1) == truth.numpy()).mean())
            about = {"source": number, "suspect": name, "derived": derived, "accuracy": round(right, 4)}
            rows += [{**about, **found} for found in tested(claim, model)]
    record = {"source_accuracy": claim.facts["source"]["accuracy"], "queries": len(claim.queries), "rows": rows}
    (folder / f"source-{number}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(number, round(time.monotonic() - began), "s", claim.facts["source"]["accuracy"])


def tested(claim: birthmark.Claim, model: Words) -> Iterator[dict[str, object]]:
    """What the claim says of a model, asked three ways."""
    spec = {"dialect": "generic", "body": {"texts": "$inputs"}, "rows": "rows", "rate": 0}
    with served(model) as url:
        ways = {
            "probabilities": Function(answering(model), Answers.PROBABILITIES),
            "labels": Function(lambda given: np.eye(10)[predict(model, given).argmax(axis=1)], Answers.LABELS),
            "http": suspects.open(url, spec=SuspectSpec(**spec), task=claim.task, authorisation="own service"),
        }
        for way, oracle in ways.items():
            found = birthmark.verify(claim, oracle, alpha=ALPHA)
            yield {"way": way, "verdict": found.verdict.value, "p": found.p_value, "z": round(found.z, 2)}


def table(folder: Path, out: Path) -> None:
    """Counts of verdicts with exact intervals."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("source-*.json"))}
    records = {name: record for name, record in records.items() if int(name.split("-")[1]) < DEVELOPMENT}
    rows = [row for record in records.values() for row in record["rows"]]
    found = []
    for way in ("probabilities", "labels", "http"):
        for derived in (True, False):
            mine = [row for row in rows if row["way"] == way and row["derived"] is derived]
            hits = sum(row["verdict"] == "supported" for row in mine)
            between = binomtest(hits, len(mine)).proportion_ci(0.95)
            counts = {name: sum(r["verdict"] == name for r in mine) for name in ("not supported", "inconclusive")}
            ends = {"low": round(between.low, 3), "high": round(between.high, 3)}
            found.append({"way": way, "derived": derived, "n": len(mine), "supported": hits, **ends, **counts})
    data = sha256((folder / "packages.json").read_bytes()).hexdigest()
    how = [f"python benchmarks/text/text.py {step}" for step in ("data F", "source 0 F (to 4)", "table F OUT")]
    about = {"commands": how, "data_sha256": data, "debian": Path("/etc/debian_version").read_text().strip()}
    kept = {"alpha": ALPHA, "twins": TWINS, "queries": QUERIES, "sources": len(records)}
    out.write_text(json.dumps({**about, **kept, "table": found, "records": records}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def main() -> None:
    torch.set_num_threads(1)
    what, *rest = sys.argv[1:]
    if what == "data":
        packages(Path(rest[0]))
    elif what == "source":
        for number in map(int, rest[0].split(",")):
            if not (Path(rest[1]) / f"source-{number}.json").is_file():
                one_source(number, Path(rest[1]))
    else:
        table(Path(rest[0]), Path(rest[1]))


if __name__ == "__main__":
    main()
