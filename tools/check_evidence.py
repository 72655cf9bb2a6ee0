#!/usr/bin/env python3
"""Check sealed evidence without birthmark: the standard library, numpy and `cryptography` are all it needs.

    python check_evidence.py EVIDENCE [--key SIGNER.pem]

It checks the seal (every file's SHA-256 and the signature), the chain of the transcript, that the recorded answers are
those to the claim's queries, and the arithmetic of the verdict: ranks, z and the rule. Scores from answers take the
method, which is `birthmark judge`'s part; so is whether a time stamp holds: openssl ts -verify -data
commitment.dsse.json -in commitment.tsr -CAfile ROOTS. Exit code 0 if all of it holds, 5 if not.

EVIDENCE is a folder, or a zip of one. The format: docs/evidence-format.md.
"""

import base64
import hashlib
import json
import math
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

LARGEST, LEAST_REFERENCES = 2 << 30, 4
TYPE = "application/vnd.in-toto+json"


class Wrong(Exception):
    """What does not hold, in words."""


def need(holds, words):
    if not holds:
        raise Wrong(words)


def sha(blob):
    return hashlib.sha256(blob).hexdigest()


def once(pairs):
    need(len(dict(pairs)) == len(pairs), "a JSON object holds a key twice")
    return dict(pairs)


def parsed(blob, name):
    try:
        return json.loads(blob.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{name}: not JSON ({error})") from None


def read(place):
    """Every file of a folder or zip, by name."""
    if place.is_file():
        with zipfile.ZipFile(place) as file:
            need(sum(entry.file_size for entry in file.infolist()) <= LARGEST, "the zip is too large")
            return {entry.filename: file.read(entry) for entry in file.infolist()}
    found = {}
    for path in sorted(place.rglob("*")):
        need(not path.is_symlink(), f"{path}: is a link")
        if path.is_file():
            need(path.stat().st_size <= LARGEST, f"{path}: too large")
            found[path.relative_to(place).as_posix()] = path.read_bytes()
    return found


def check_seal(files, signer):
    """The signature, and every other file's digest."""
    need("seal.dsse.json" in files and "key.pem" in files, "seal.dsse.json or key.pem is missing")
    envelope = parsed(files["seal.dsse.json"], "seal.dsse.json")
    payload = base64.b64decode(envelope["payload"], validate=True)
    (one,) = envelope["signatures"]
    key = load_pem_public_key(files["key.pem"])
    identity = sha(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    need(one["keyid"] == identity, "key.pem is not the key that the seal names")
    if signer is not None:
        theirs = load_pem_public_key(signer.read_bytes())
        same = sha(theirs.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) == identity
        need(same, "sealed by another key than the one you gave")
    message = b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE.encode(), len(payload), payload)
    signature = base64.b64decode(one["sig"], validate=True)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            need(isinstance(key, ec.EllipticCurvePublicKey), "key.pem: neither Ed25519 nor ECDSA")
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Wrong("seal.dsse.json: the signature does not fit") from None
    stated = {entry["name"]: entry["digest"]["sha256"] for entry in parsed(payload, "the seal")["subject"]}
    for name in sorted({*stated, *files} - {"seal.dsse.json"}):
        need(name in files, f"{name}: is missing")
        need(sha(files[name]) == stated.get(name), f"{name}: is not the file that was sealed")
    return identity


def check_chain(blob):
    """The transcript's answers by query digest, after every link of its chain has been checked."""
    chain, known, first = "", {}, None
    for number, line in enumerate(blob.splitlines(keepends=True), 1):
        need(line.endswith(b'"}\n'), f"transcript.jsonl: line {number} is cut off")
        body, _, link = line[:-3].rpartition(b', "chain": "')
        chain = hashlib.sha256(chain.encode() + body).hexdigest()
        need(link.decode("ascii", "replace") == chain, f"transcript.jsonl: line {number} does not follow")
        entry = parsed(body + b"}", f"transcript.jsonl: line {number}")
        first = first or entry
        if "query" in entry:
            known.setdefault(entry["query"], entry["answer"])
    need(first is not None and first["format"] == "birthmark/transcript/2", "transcript.jsonl: another format")
    return known


def check_claim(files):
    """The claim's digest, what it says, and the digests of its queries."""
    manifest = files["claim/manifest.json"]
    for name, entry in parsed(manifest, "claim/manifest.json")["files"].items():
        need(sha(files[f"claim/{name}"]) == entry["sha256"], f"claim/{name}: is not what its manifest says")
    blob = files["claim/tensors.safetensors"]
    (size,) = struct.unpack("<Q", blob[:8])
    queries = query_digests(parsed(blob[8 : 8 + size], "claim/tensors.safetensors"), blob[8 + size :])
    return sha(manifest), parsed(files["claim/data.json"], "claim/data.json"), queries


def query_digests(head, blob):
    """Of float32 numbers, whole numbers, or texts."""
    def data(name):
        return blob[slice(*head[name]["data_offsets"])]

    if "queries.text" in head:
        text, ends = data("queries.text"), data("queries.ends")
        ends = struct.unpack(f"<{len(ends) // 8}q", ends)
        need([0, *ends] == sorted([0, *ends]) and [*ends, 0][-2] == len(text), "claim: texts that do not end")
        return [sha(b"text " + text[a:b]) for a, b in zip((0, *ends), ends)]
    entry, numbers = head["queries"], data("queries")
    need(entry["dtype"] in ("F32", "I64"), "claim/tensors.safetensors: queries are no float32, int64 or text")
    (n, *shape), whole = entry["shape"], entry["dtype"] == "I64"
    step, text = (8 if whole else 4) * math.prod(shape), f"{tuple(shape)}{' whole' if whole else ''}".encode()
    need(len(numbers) == n * step, "claim/tensors.safetensors: queries of another size")
    return [sha(text + numbers[i * step : (i + 1) * step]) for i in range(n)]


def near(one, other):
    return one is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def rank_p(score, null):
    return (1 + int((~(np.asarray(null) < score)).sum())) / (1 + len(null))


def check_verdict(found):
    """Ranks, z and the rule, from the scores that the evidence states."""
    null, alpha, scores = found["placebos"], found["alpha"], np.array(found["placebos"], dtype=float)
    need(len(null) == found["n_placebos"], "evidence.json: another number of placebos than it states")
    need(near(found["p_value"], rank_p(found["score"], null)), "evidence.json: p is not the rank of the score")
    if found["null"] == "placebos":
        z = (found["score"] - scores.mean()) / scores.std(ddof=1)
        need(near(found["z"], z), "evidence.json: z does not follow from the scores")
    others = [*found["references_z"], *found["treated_z"]]
    for name, some in (("p_references", others), ("p_reruns", found["reruns_z"])):
        right = near(found[name], rank_p(found["z"], some)) if some else found[name] is None
        need(right, f"evidence.json: {name} is not the rank of z")
    if found["verdict"] != "supported":
        return
    need(found["p_value"] <= alpha, "evidence.json: supported, but p is above alpha")
    if found["null"] == "placebos" and found["references_z"]:
        need(len(found["references_z"]) >= LEAST_REFERENCES, "evidence.json: supported with too few references")
        need(found["z"] > max(others), "evidence.json: supported, but an independent model is as close")
    need(found["p_reruns"] is None or found["p_reruns"] <= alpha, "evidence.json: supported, but reruns are as close")


def check(place, signer=None):
    """Raise Wrong for the first thing that does not hold; what was found otherwise."""
    files = read(place)
    identity = check_seal(files, signer)
    known = check_chain(files["transcript.jsonl"])
    digest, data, queries = check_claim(files)
    found = parsed(files["evidence.json"], "evidence.json")
    need(found["claim"] == digest, "evidence.json: is about another claim")
    need(found["transcript"] == sha(files["transcript.jsonl"]), "evidence.json: is about another transcript")
    same = (found["method"], found["settings"]) == (data["method"], data["settings"])
    need(same, "evidence.json: another method or other settings than the claim's")
    asked = queries[: found["queries"]]
    need(len(asked) == found["queries"], "evidence.json: more queries than the claim holds")
    need(all(query in known for query in asked), "transcript.jsonl: lacks answers to queries of the claim")
    check_verdict(found)
    return found, identity


def main(arguments):
    signer = Path(arguments.pop(arguments.index("--key") + 1)) if "--key" in arguments else None
    places = [one for one in arguments if one != "--key"]
    if len(places) != 1:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        found, identity = check(Path(places[0]), signer)
    except Wrong as error:
        print(f"does not hold: {error}", file=sys.stderr)
        return 5
    except (KeyError, ValueError, TypeError, IndexError, struct.error, OSError, zipfile.BadZipFile) as error:
        print(f"does not hold: it cannot be read ({type(error).__name__}: {error})", file=sys.stderr)
        return 5
    among = f"p = {found['p_value']:.3g} among {found['n_placebos']} {found['null']}"
    print(f"{found['suspect']}: {found['verdict']}, {among}")
    print(f"holds: seal of key {identity[:16]}, chain, {found['queries']} queries, ranks and rule; not: scores, dates")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
