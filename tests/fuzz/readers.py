"""Every reader of what strangers write: makers of good inputs, and how they are read."""

import base64
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image

from birthmark import data, suspects
from birthmark.answers import checked
from birthmark.artifact import canonical
from birthmark.bench import tables
from birthmark.claim import Claim, Task
from birthmark.gateway import config, dialects, log, writer
from birthmark.gateway.codec import Wire
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret, read_secret
from birthmark.notary import cases, folders, signing, stamps
from birthmark.notary.commitments import Commitment, Drawn, read_secret as read_committed
from birthmark.oracle import Function, Oracle
from birthmark.suspects.description import SuspectSpec, declared
from birthmark.suspects.dialect import Response
from birthmark.suspects.files import open_file
from birthmark.suspects.folder import _inspected, _preprocessing
from birthmark.suspects.onnx import inspect
from birthmark.suspects.reading import rows
from birthmark.suspects.writing import encoded
from birthmark.transcript import Recorded, Replay, Transcript
from birthmark.types import Answers
from birthmark.verify import Terms, verify
from birthmark.workshop import architectures, cohort
from birthmark.workshop.card import Card
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.zoo.store import as_card
from birthmark.zoo import catalogue
from fuzz import packing
from fuzz.harness import Reader, files_in
from fuzz.mutations import Files
from notary.cases import Accuser, committed_claim, table_claim

IMAGES, ROWS = Task((1, 4, 4), 3), Task((6,), 4)
X = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
MASTER = Secret(b"k" * 32)
SIGNER = ed25519.Ed25519PrivateKey.from_private_bytes(b"s" * 32)
KEPT = Path(__file__).parent / "corpus"


def written(*write: Callable[[Path], object]) -> list[Files]:
    """The files that each of these writes into an empty folder."""
    found = []
    for one in write:
        with tempfile.TemporaryDirectory() as place:
            one(Path(place))
            found.append(files_in(Path(place)))
    return found


# what owners write


def _claim(place: Path, seed: int = 0) -> None:
    table_claim(24, seed=seed).save(place / "claim")


def _claims() -> list[Files]:
    made = written(_claim, partial(_claim, seed=1))
    return [{name.partition("/")[2]: blob for name, blob in one.items()} for one in made]


def _claimed(claim: Claim) -> object:
    tensors = {name: (value.shape, value.tobytes()) for name, value in claim.tensors.items()}
    return claim.method, claim.settings, claim.task, claim.seed, claim.facts, claim.twins, tensors


def _read_claim(folder: Path) -> Claim:
    claim, _ = Claim.load(folder)
    repr(claim)
    return claim


def _nobody(task: Task) -> Oracle:
    def answer(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = np.random.default_rng(len(inputs)).random((len(inputs), 4))
        return made / made.sum(axis=1, keepdims=True)

    return Function(answer, Answers.PROBABILITIES, "nobody")


def _judged(folder: Path) -> object:
    claim, digest = Claim.load(folder)
    return json.dumps(verify(claim, _nobody(claim.task), terms=Terms(repeats=0)).as_dict(), allow_nan=False), digest


def _keyrings() -> list[Files]:
    def made(place: Path, values: bool = False) -> None:
        random = np.random.default_rng(values)
        source, references = random.random((24, 3)), random.random((4, 24, 3))
        if not values:
            source, references = source / source.sum(1, keepdims=True), references / references.sum(2, keepdims=True)
        inputs = random.random((60, 6), dtype=np.float32)
        ring = Keyring.make(inputs, inputs[:24], source, references, seed=3, values=values, placebos=19)
        ring.save(place / "ring")

    return [{n.partition("/")[2]: b for n, b in one.items()} for one in written(made, partial(made, values=True))]


def _read_keyring(folder: Path) -> Keyring:
    ring = Keyring.load(folder)
    ring.client(MASTER, "alice").field(ring.queries[:2])
    return ring


def _ring(ring: Keyring) -> object:
    arrays = (ring.whitening.mean, ring.whitening.axes, ring.queries, ring.source, ring.references, ring.spread)
    said = (ring.task, ring.waves, ring.omega, ring.seed, ring.placebos, ring.near)
    return said, [(array.shape, array.tobytes()) for array in arrays]


def _asked(place: Path, n: int = 3) -> None:
    transcript = Transcript(place / "t.jsonl", _nobody(ROWS), {"shape": [6]})
    recorded = Recorded(_nobody(ROWS), transcript)
    recorded(np.arange(6.0 * n, dtype=np.float32).reshape(n, 6))
    recorded.again(np.zeros((1, 6), dtype=np.float32))
    transcript.close()


def _read_transcript(folder: Path) -> object:
    place = folder / "t.jsonl"
    if not place.is_file():
        return {}
    known = Replay(place).known
    Transcript(place, _nobody(ROWS), {"shape": [6]}).close()
    return known


@cache
def _all_asked(n: int) -> tuple[tuple[str, tuple[float, ...]], ...]:
    (files,) = written(partial(_asked, n=n))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "t.jsonl").write_bytes(files["t.jsonl"])
        return tuple((key, tuple(row)) for key, row in Replay(Path(place) / "t.jsonl").known.items())


def _prefix(known: Any) -> object:
    """What was asked, if it is the start of what a seed asked (a cut file holds less); else itself."""
    found = tuple((key, tuple(row)) for key, row in known.items())
    return "a start" if any(found == _all_asked(n)[: len(found)] for n in (1, 3)) else found


RECORDS = [(name, n) for n in range(3) for name in ("alice", "bob")]


def _logged(place: Path) -> None:
    kept = writer.QueryLog(writer.LogSettings(place, segment=1 << 12))
    for name, n in RECORDS:
        x = np.full((2, 2), n, dtype=np.float32)
        kept.append(writer.entry(name, "k", x, True, "", [0], np.array([[0.4, 0.6], [0.5, 0.5]]))).result(5)
    kept.close()
    for other in place.iterdir():
        if not other.name.endswith(".log"):
            other.unlink()


def _read_log(folder: Path) -> object:
    records = list(log.read(folder))
    log.head(folder)
    for path in log.segments(folder):
        log.checked(path)
    log.ties(iter(records), "alice")
    return [(r["client"], r["n"]) for r in records]


def _record_prefix(found: Any) -> object:
    whole = [(name, i + 1) for i, (name, _) in enumerate(RECORDS)]
    return "a start" if found == whole[: len(found)] else found


# texts of the user's own

SPEC = b"""
url = "https://models.example.org/v2/models/toy"
auth = "env:TOKEN"
headers = {x-a = "b"}
answers = "probabilities"
layout = "nhwc"
order = [2, 1, 0]
mean = [0.5]
std = [0.25]
high = 255.0
timeout = 12.5
batch = 16
shape = [1, 4, 4]
body = {a = ["$inputs", 1], b = {c = true}}
"""
LABELLED = b'url = "http://127.0.0.1:1/"\nlabels = "names.txt"\nanswers = "topk"\ntop = 3\nscale = 100.0\nencoding = "jpeg"\nquality = 90\n'


def _read_spec(folder: Path) -> object:
    spec = SuspectSpec.read(folder / "s.toml")
    assert SuspectSpec(**spec.flat()) == spec
    spec.declaration(), spec.says()
    return encoded(X, spec.writing)


PLAN = b"""
title = "t"
data = "digits"
sources = [0, 1]
lists = {a = ["prune", "ftal"]}
cohort = {twins = 2, references = 3, surrogates = 1, crafting = 2}
source = {recipe = "mlp:width=8", split = "owner", training = {epochs = 2}, suspect = true}
students = {"mlp" = {epochs = 3}}
methods = {kinship = {queries = 20}}
[[rule]]
name = "{attack} of source"
of = "source"
attack = "{attack}"
split = "attacker"
settings = {epochs = 1, student = "mlp"}
each = {attack = "a"}
[[rule]]
name = "other {i}"
split = "innocent"
count = 2
training = {rate = 0.1}
tier = "other data"
[[rule]]
name = "rounded"
of = ["other 0"]
evasion = ["round:digits=2"]
[[rule]]
name = "marked"
of = "source"
attack = "distill"
split = "attacker"
watermark = {name = "dynamarks"}
through = ["round:digits=3"]
"""


def _read_plan(folder: Path) -> object:
    plan = catalogue.read(str(folder / "p.toml"))
    return [card.key for card in plan.cards()]


COHORT = b"""
about = "x"
twins = 3
thin = 2
[[independent]]
recipes = ["mlp", "mlp:width=8"]
split = "reserve"
training = {epochs = 2}
times = 2
[[treatment]]
attack = "prune"
settings = {amount = 0.5}
split = "attacker"
students = ["mlp"]
times = 1
"""


def _read_cohort(folder: Path) -> object:
    return cohort.recipe(str(folder / "c.toml"))


GATEWAY = b"""
upstream = "http://127.0.0.1:8000"
keyring = "keyring/"
secret = "env:S"
policy = "closed"
client = "header:X"
clients = ["alice"]
pass_through = ["/docs.*"]
timeout = 3.5
[wire]
dialect = "oip"
mean = [0.5]
[log]
folder = "log/"
segment = 8192
"""


def _read_gateway(folder: Path) -> object:
    found = config.read_config(folder / "g.toml", {})
    return dialects.codec(found.wire, IMAGES)


def _records(place: Path) -> None:
    common = {"format": tables.FORMAT, "plan": "p", "task": "t", "method": "m", "access": "probs", "queries": 20}
    common |= {"alpha": 0.05, "enrol_seconds": 1.5, "enrol_models": 3, "refused": ""}
    for i in range(2):
        cells = {"20": {"p": 0.05, "raw": 0.2 + i, "z": 3.0 - i, "verdict": "supported"}}
        stolen = {"name": "a", "role": "positive", "group": "g", "tier": "", "by_queries": cells}
        said = [stolen, {**stolen, "name": "b", "role": "negative", "group": "", "tier": "t"}]
        (place / f"{i}.json").write_bytes(canonical({**common, "source_seed": i, "suspects": said}))


# models and pictures


def _model(place: Path, recipe: str = "mlp:width=4") -> None:
    about = {"card": {"kind": "trained", "data": {"name": "digits"}, "split": "owner", "recipe": recipe, "start": 1}}
    head = ModelHead(recipe, (1, 4, 4), 3)
    save_model(place / "m.safetensors", architectures.build(recipe, (1, 4, 4), 3, seed=0), head, about)


def _bare(place: Path) -> None:
    """A state dict from elsewhere, with a head beside it."""
    _model(place)
    head, body = packing.split_tensors((place / "m.safetensors").read_bytes())
    said = json.loads(head)
    beside = json.loads(said.pop("__metadata__")["birthmark"])
    (place / "m.json").write_bytes(canonical(beside))
    (place / "m.safetensors").write_bytes(packing.joined_tensors(json.dumps(said).encode(), body))


def _read_model(folder: Path) -> object:
    return open_file(folder / "m.safetensors", SuspectSpec(), IMAGES)(X)


def _model_parts(files: Files) -> Files:
    head, body = packing.split_tensors(files["m.safetensors"])
    said = json.loads(head)
    about = said.pop("__metadata__", {}).get("birthmark")
    parts = {**files, "head.json": json.dumps(said).encode(), "body": body}
    del parts["m.safetensors"]
    return {**parts, "about.json": about.encode()} if about else parts


def _model_of(parts: Files) -> Files:
    files = {name: blob for name, blob in parts.items() if name not in ("head.json", "about.json", "body")}
    head = parts.get("head.json", b"{}")
    if "about.json" in parts and head[:1] == b"{":
        entry = json.dumps({"birthmark": parts["about.json"].decode("utf-8", "replace")})
        head = b'{"__metadata__":' + entry.encode() + (b"," if len(head) > 2 else b"") + head[1:]
    return {**files, "m.safetensors": packing.joined_tensors(head, parts.get("body", b""))}


def _cards() -> list[Files]:
    given = Card("given", {"name": "d", "sha256": "0" * 64}, "owner", "mlp", start=2**100, settings={"sha256": "0" * 64})
    stolen = Card("stolen", {"name": "d"}, "attacker", "", attack="prune", settings={"amount": 0.5}, parents=("a" * 16,))
    from dataclasses import asdict

    return [{"card.json": canonical(asdict(card))} for card in (given, stolen)]


def _read_card(folder: Path) -> object:
    """A card as a model file's `about` holds it, whose JSON was read before."""
    try:
        said = json.loads((folder / "card.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return as_card(said).key if isinstance(said, dict) else None


def _graphs() -> list[Files]:
    import onnx

    h, w = onnx.helper, np.random.default_rng(0).random((16, 3), dtype=np.float32)

    def graph(*nodes: Any, outside: bool = False) -> bytes:
        ends = [[h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)] for n, s in (("x", ["n", 1, 4, 4]), ("y", ["n", 3]))]
        weights = onnx.numpy_helper.from_array(w, "w")
        if outside:
            onnx.external_data_helper.set_external_data(weights, "w.bin", 0, w.nbytes)
            weights.ClearField("raw_data")
        made = h.make_graph([h.make_node("Flatten", ["x"], ["f"]), *nodes, h.make_node("MatMul", ["f", "w"], ["y"])], "g", *ends, [weights])
        blob: bytes = h.make_model(made, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
        return blob

    body = h.make_graph([h.make_node("Identity", ["f"], ["z"])], "b", [], [h.make_tensor_value_info("z", 1, None)])
    branch = h.make_node("If", ["f"], ["u"], then_branch=body, else_branch=body)
    return [{"m.onnx": graph()}, {"m.onnx": graph(branch)}, {"m.onnx": graph(outside=True), "w.bin": w.tobytes()}]


def _read_graph(folder: Path) -> object:
    return inspect(folder / "m.onnx")


def _folders() -> list[Files]:
    before = {"do_resize": True, "size": {"height": 8, "width": 8}, "do_normalize": True, "do_rescale": True}
    before |= {"image_mean": [0.5], "image_std": [0.5], "resample": 2, "rescale_factor": 1 / 255}
    tensors = written(_model)[0]["m.safetensors"]
    return [{"config.json": b'{"model_type": "vit"}', "preprocessor_config.json": canonical(before), "model.safetensors": tensors}]


def _read_folder(folder: Path) -> object:
    return _inspected(folder), _preprocessing(folder, 1, SuspectSpec())


def _arrays(place: Path, **arrays: Any) -> None:
    np.savez(place / "d.npz", **arrays)


def _npz() -> list[Files]:
    random = np.random.default_rng(0)
    n, x = 90, random.random((90, 1, 2, 2), dtype=np.float32)
    pixels = random.integers(0, 256, (n, 2, 2), dtype=np.uint8)
    words = np.array(["ab", "c", "d"])[np.arange(n) % 3]
    return written(
        partial(_arrays, inputs=x, targets=np.arange(n) % 3),
        partial(_arrays, inputs=pixels, targets=words, test_inputs=pixels[:9][::-1] ^ 1, test_targets=words[:9]),
        partial(_arrays, inputs=x.reshape(n, 4).astype(np.float64), targets=random.random((n, 2))),
    )


def _picture(i: int, form: str, mode: str = "L") -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, (4, 4) if mode == "L" else (4, 4, 3), dtype=np.uint8)
    blob = BytesIO()
    Image.fromarray(pixels).save(blob, form)
    return blob.getvalue()


def _pictures() -> list[Files]:
    forms = ("PNG", "BMP", "TIFF", "PPM", "GIF", "TGA", "PNG", "WEBP", "JPEG", "JPEG2000")
    grey = {f"{'ab'[i % 2]}/{i:02d}.{forms[i % 5].lower()}": _picture(i, forms[i % 5]) for i in range(60)}
    some = {f"train/{'ab'[i % 2]}/{i:02d}.x": _picture(i, forms[i % 10], "RGB") for i in range(60)}
    return [grey, {**some, "val/a/v.png": _picture(90, "PNG", "RGB"), "val/b/v.png": _picture(91, "PNG", "RGB")}]


def _read_data(folder: Path) -> object:
    place = folder / "d.npz"
    return data.load(str(place if place.exists() else folder)).about()


# answers of servers

SAID: Mapping[str, dict[str, object]] = {
    "oip": {"outputs": [{"name": "y", "shape": [2, 3], "datatype": "FP32", "data": [0.2, 0.3, 0.5, 0.1, 0.1, 0.8]}]},
    "tfserving": {"predictions": [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]},
    "mlflow": {"predictions": [{"a": 0.2, "b": 0.3, "c": 0.5}, {"a": 0.1, "b": 0.1, "c": 0.8}]},
}
NAMED = [{"label": "a", "score": 0.2}, {"label": "b", "score": 0.3}, {"label": "c", "score": 0.5}]
ABOUT = {"name": "toy", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}], "outputs": [{"name": "y"}]}


def _bodies(name: str) -> list[Files]:
    plain: list[object] = [SAID[name]] if name in SAID else [[[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]]
    if name in ("torchserve", "hf"):
        plain = [NAMED, [NAMED], {"a": 0.2, "b": 0.3, "c": 0.5}] if name == "torchserve" else [NAMED]
    told = [{"probe": json.dumps({**ABOUT, "models": ["m"], "max_batch_size": 4, "extensions": []}).encode()}]
    made: list[Files] = [{"body": json.dumps(value).encode(), "head": b"", **told[0]} for value in plain]
    if name == "oip":
        tensor = {"name": "y", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
        head = json.dumps({"outputs": [tensor]}).encode()
        made.append({"body": head + np.full(6, 1 / 3, "<f4").tobytes(), "head": str(len(head)).encode(), **told[0]})
    return made


def _got(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes() if (folder / name).is_file() else b""


def _read_body(folder: Path, name: str) -> object:
    """An answer as every declaration reads it, and a probe's; the first error is raised at the end."""
    kind, body, head = suspects.dialects()[name], _got(folder, "body"), _got(folder, "head").decode("latin-1")
    headers = {"inference-header-content-length": head} if head else {}
    first, read = None, 0
    n = 1 if name in ("torchserve", "hf") else 2
    for said in ({}, {"labels": ["a", "b", "c"]}, {"answers": "labels"}, {"answers": "topk", "labels": ["a", "b", "c"]}):
        spec = declared(SuspectSpec(**said, body={"x": "$inputs"}, rows="[*]" if name == "generic" else ""), IMAGES)
        try:
            found = rows(kind(spec, IMAGES).answers(Response(200, headers, body), n, "s"), n, spec.reading, IMAGES, "s")
            checked(found, n, 3, spec.reading.kind or Answers.PROBABILITIES, "s")
            read += 1
        except suspects.BirthmarkError as error:
            first = first or error
            assert str(error).isprintable()
    probe = Response(200, {}, _got(folder, "probe"))
    kind.probe(lambda path: probe, SuspectSpec(model="toy", body={"x": "$inputs"}), IMAGES)
    if first and not read:
        raise first
    return read


def _messages(name: str) -> list[Files]:
    x = X.tolist()
    asks = {
        "oip": {"inputs": [{"name": "x", "shape": [2, 16], "datatype": "FP32", "data": X.ravel().tolist()}]},
        "tfserving": {"instances": x},
        "mlflow": {"inputs": x},
        "generic": {"inputs": x},
    }
    answers = {**SAID, "generic": {"results": [{"p": [0.2, 0.3, 0.5]}, {"p": [0.1, 0.1, 0.8]}]}}
    return [{"ask": json.dumps(asks[name]).encode(), "answer": json.dumps(answers[name]).encode(), "head": b""}]


def _read_message(folder: Path, name: str) -> object:
    codec = dialects.codec(Wire(name, rows="results[*].p" if name == "generic" else ""), IMAGES)
    head = _got(folder, "head").decode("latin-1")
    headers = {"inference-header-content-length": head} if head else {}
    n = len(codec.queries(headers, _got(folder, "ask")))
    answer = codec.answer(headers, _got(folder, "answer"), n)
    return answer.write(answer.rows)


# what the notary reads


@cache
def _accused() -> Mapping[str, Files]:
    with tempfile.TemporaryDirectory() as place:
        folder, claim = Path(place), table_claim(24)
        accuser = Accuser(folder, SIGNER, claim)
        commitment, drawn = committed_claim(claim)
        sealed = accuser.sealed(accuser.commit(commitment, drawn))
    return {"sealed": sealed, "plain": folders.seal({n: b for n, b in sealed.items() if n in folders.NEEDED}, SIGNER)}


def _sealed() -> list[Files]:
    zips = [{"e.zip": folders.zipped(one)} for one in _accused().values()]
    return [*_accused().values(), *zips]


def _read_sealed(folder: Path) -> folders.Sealed:
    place = folder / "e.zip"
    return folders.load(place if place.exists() else folder)


def _unsealed(files: Files) -> Files:
    """The parts of evidence without its seal; claim and transcript without digests and chains."""
    if "e.zip" in files:
        files = {name.partition("!")[2]: blob for name, blob in packing.members(files).items()}
    claim = {name.removeprefix("claim/"): blob for name, blob in files.items() if name.startswith("claim/")}
    parts = {f"claim/{name}": blob for name, blob in packing.artefact_parts(claim).items()}
    lines = packing.lines_of({"transcript.jsonl": files["transcript.jsonl"]})
    return {**{n: b for n, b in files.items() if n != folders.SEAL and not n.startswith("claim/")}, **parts, **lines}


def _resealed(parts: Files) -> Files:
    claim = {name.removeprefix("claim/"): blob for name, blob in parts.items() if name.startswith("claim/")}
    files = {f"claim/{name}": blob for name, blob in packing.artefact(claim).items()}
    files |= {name: blob for name, blob in parts.items() if not name.startswith("claim/")}
    files |= packing.chained_lines({"transcript.jsonl": parts.get("transcript.jsonl", b"")})
    digests = {name: sha256(blob).hexdigest() for name, blob in files.items() if name.isprintable()}
    about = signing.statement(digests, folders.KIND, {"sealed": "2026-01-01T00:00:00Z"})
    return {**files, folders.SEAL: signing.sign(about, SIGNER)}


def _read_case(folder: Path) -> object:
    case = cases.read_case(_read_sealed(folder))
    return json.dumps(case.replayed.as_dict(), allow_nan=False), case.alpha


def _documents() -> list[Files]:
    commitment, drawn = committed_claim(table_claim(24))
    return [{"commitment.json": commitment.blob, "drawn.json": drawn.blob}]


def _read_documents(folder: Path) -> object:
    commitment = Commitment.read(_got(folder, "commitment.json"), "commitment.json")
    drawn = Drawn.read(_got(folder, "drawn.json"), "drawn.json")
    return commitment.digest, drawn.seed("twins"), len(drawn.part(20, 0.8))


def _envelopes() -> list[Files]:
    return [{"e.json": signing.sign(signing.statement({name: "0" * 64}, "k", {}), SIGNER)} for name in ("a", "b")]


def _read_envelope(folder: Path) -> bytes:
    return signing.opened(_got(folder, "e.json"), SIGNER.public_key(), "e.json")


def _pem() -> list[Files]:
    made = []
    for key in (SIGNER, ec.derive_private_key(7, ec.SECP256R1())):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made.append({"key.pem": signing.public_pem(key.public_key()), "private.pem": private, "secret": b"ab" * 32 + b"\n"})
    return made


def _read_pem(folder: Path) -> object:
    for name in ("secret", "private.pem"):
        if (folder / name).exists():
            (folder / name).chmod(0o600)
    read_committed(folder / "secret"), read_secret(folder / "secret")
    signing.private_key(folder / "private.pem")
    return signing.key_id(signing.read_public_key(folder / "key.pem"))


def _der(files: Files) -> Files:
    return {n: base64.b64decode(b"".join(b.splitlines()[1:-1])) if n.endswith(".pem") else b for n, b in files.items()}


def _armoured(parts: Files) -> Files:
    def pem(name: str, blob: bytes) -> bytes:
        kind = b"PRIVATE KEY" if name == "private.pem" else b"PUBLIC KEY"
        return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (kind, base64.encodebytes(blob), kind)

    return {n: pem(n, b) if n.endswith(".pem") else b for n, b in parts.items()}


def _stamps() -> list[Files]:
    return [{"stamp.tsr": (KEPT / "stamp" / "good" / "stamp.tsr").read_bytes()}]


def _read_stamp(folder: Path) -> object:
    return stamps.said(_got(folder, "stamp.tsr"), b"stamped", "stamp.tsr")


def _others() -> list[Files]:
    """Files of other kinds under the name of one that is read."""
    return [{"d.npz": pickle.dumps({"inputs": [1]})}, {"d.npz": b"\x93NUMPY\x01\x00"}, {"d.npz": b""}]


def _dialect(name: str) -> Reader:
    return Reader(f"answers-{name}", partial(_bodies, name), partial(_read_body, name=name))


def _codec(name: str) -> Reader:
    return Reader(f"gateway-{name}", partial(_messages, name), partial(_read_message, name=name))


READERS = {
    reader.name: reader
    for reader in (
        Reader("claim", _claims, _read_claim, packing.artefact_parts, packing.artefact, _claimed),
        Reader("verdict", _claims, _judged, packing.artefact_parts, packing.artefact, slow=True),
        Reader("keyring", _keyrings, _read_keyring, packing.artefact_parts, packing.artefact, _ring),
        Reader("transcript", lambda: written(_asked, partial(_asked, n=1)), _read_transcript, packing.lines_of, packing.chained_lines, _prefix),
        Reader("log", lambda: written(_logged), _read_log, packing.log_parts, packing.log_of, _record_prefix),
        Reader("spec", lambda: [{"s.toml": SPEC}, {"s.toml": LABELLED, "names.txt": b"a\nb\nc\n"}], _read_spec, elsewhere=True),
        Reader("plan", lambda: [{"p.toml": PLAN}], _read_plan),
        Reader("cohort", lambda: [{"c.toml": COHORT}], _read_cohort),
        Reader("gateway", lambda: [{"g.toml": GATEWAY}], _read_gateway),
        Reader("records", lambda: written(_records), lambda folder: tables.rows(tables.load(folder), rounds=10)),
        Reader("model", lambda: written(_model, _bare, partial(_model, recipe="cnn")), _read_model, _model_parts, _model_of),
        Reader("card", _cards, _read_card),
        Reader("onnx", _graphs, _read_graph),
        Reader("folder", _folders, _read_folder),
        *(_dialect(name) for name in suspects.dialects()),
        *(_codec(name) for name in dialects.CODECS),
        Reader("npz", _npz, _read_data, packing.members, packing.archive),
        Reader("pictures", _pictures, _read_data, packing.chunks, packing.pictures, slow=True),
        Reader("sealed", _sealed, _read_sealed, kept=lambda sealed: dict(sealed.files)),
        Reader("case", _sealed, _read_case, _unsealed, _resealed, slow=True),
        Reader("documents", _documents, _read_documents),
        Reader("envelope", _envelopes, _read_envelope, kept=lambda payload: payload),
        Reader("keys", _pem, _read_pem, _der, _armoured),
        Reader("stamp", _stamps, _read_stamp),
    )
}
