"""docs/attacks.md, from the registry, the attacks' docstrings and the committed measurements."""

import json
from dataclasses import fields
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

from birthmark import registry
from birthmark.attacks.evasion import EVASIONS, settings_of
from birthmark.types import Access

ROOT = Path(__file__).parents[1]
STRENGTH = ROOT / "benchmarks" / "attacks" / "strength.json"
GAINED = ROOT / "benchmarks" / "attacks" / "adaptive.json"
PEERS = ROOT / "benchmarks" / "peers" / "extraction.json"
SEEN = {Access.LABELS: "labels", Access.PROBS: "probabilities", Access.WEIGHTS: "weights"}

HEAD = """# Attacks

Made from the attacks' own docstrings and from committed measurements by `make docs`.

An attack turns access to a model into a model of the thief's own: `steal(target, data, *, seed)`. The same seed gives
the same bits, the target is never touched, and every query goes through the oracle, so that budgets, records and real
APIs all work alike. `birthmark.theft.carrying_out.carry_out` runs one under the budget contract and says what it cost
(queries, data, seconds) and kept (accuracy, agreement). A theft that loses more than ten points of accuracy has
*failed*: it is reported as such and never counts as a defeat of a fingerprint.

    from birthmark import registry
    from birthmark.theft.carrying_out import carry_out

    attack = registry.make("attacks", "distill", {"student": "res", "temperature": 3})
    stolen, theft = carry_out(attack, target, data, test, seed=0, budget=5000, answers="answers.jsonl")

`answers` keeps what was paid for: an interrupted theft continues from it and asks nothing twice. Defaults are scaled
down for small data; a paper's own settings are presets (`birthmark attack distill --preset sac`). Attacks that need
labels use probabilities when the target shows them, unless they are told `labels=True`.

Your own attack is one file with one frozen dataclass, in an entry point of the group `birthmark.attacks`; the suite in
`birthmark.checks` says whether it keeps the promises above.
"""

LIMITS = """## What they cannot do

* `data-free` invents images without any idea of the domain, and is a failed theft at these budgets. It agreed with the
  source on 51 % of Fashion-MNIST's inputs (2,000 queries, three seeds, above), on 77 % of the digits (3,000 queries,
  once).
* `prune`, `weight-noise` and 4-bit `quantise` without fine-tuning depend on the network: the same level that leaves
  one source whole ruins another, hence the wide intervals.
* `adaptive-moments` weakens the trace of a copied VAE of digits (z 12.8 to 8.2, p stays least). The price: samples
  move a third of the way to an independent model's (root mean square .029 of .080). That is one source, in the set-up
  of tests/methods/test_moments.py.
* `removal`, and every attack marked "ours", are reconstructions or our own; nobody else's figures apply to them.
* `permute` keeps the order of units that a shortcut or a branch shares.
* `transfer` on the same data makes new classes from old ones (label modulo `classes`); give other data and
  `classes=0` for another task.
* `adaptive-kinship` with `way="labels"` needs true labels, and a thief with enough of them hardly needs the theft.
"""


def page() -> str:
    classes = registry.found("attacks")
    parts = [HEAD, "## Registry", registry_table(classes), "## Settings"]
    parts += [f"**{name}** {summary(cls)} {settings(cls)}{presets(cls)}" for name, cls in sorted(classes.items())]
    parts += ["## Adaptive attacks", adaptive(classes), gained(), "## Evasion at the API", evasions()]
    parts += [
        "## Strength on Fashion-MNIST",
        strength(),
        "## Beside the Adversarial Robustness Toolbox",
        peers(),
        LIMITS,
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def registry_table(classes: Any) -> str:
    rows = [
        f"| `{name}` | {SEEN[cls.needs]} | {needs(cls)} | {effort(cls)} | {cls.source_paper} |"
        for name, cls in sorted(classes.items())
    ]
    return "\n".join(["| attack | access | queries | trains | source |", "|---|---|---|---|---|", *rows])


def needs(cls: type) -> str:
    """Queries to the target at the defaults, in inputs."""
    if cls.needs is Access.WEIGHTS:
        return "none"
    default = {field.name: field.default for field in fields(cls)}
    if "queries" not in default:
        return "one a sample"
    told = {"adv-extract": "two a sample", "papernot": "one a sample", "knockoff": "one a sample"}
    return str(default["queries"]) if default["queries"] else told.get(cls.name, "one for every second sample")


def effort(cls: type) -> str:
    names = {field.name for field in fields(cls)}
    if "student" in names:
        return "networks from scratch"
    return "a copy" if {"epochs", "iterations"} & names else "nothing"


def summary(cls: type) -> str:
    return " ".join(cleandoc(cls.__doc__).partition("\n\n")[0].split())


def settings(cls: type) -> str:
    return "Settings: " + ", ".join(f"`{field.name}={field.default!r}`" for field in fields(cls)) + "."


def presets(cls: type) -> str:
    found = getattr(import_module(cls.__module__), "PRESETS", {})
    told = "; ".join(
        f"`{name}` ({', '.join(f'{key}={value!r}' for key, value in preset.items())})" for name, preset in found.items()
    )
    return f" Presets: {told}." if told else ""


def adaptive(classes: Any) -> str:
    rows = [
        f"| {method} | `{name}` |" for name, cls in sorted(classes.items()) for method in getattr(cls, "against", ())
    ]
    text = (
        "The thief knows the method and its code, but not the claim: queries, keys, twins and references stay secret."
    )
    return "\n".join([text, "", "| method | attack |", "|---|---|", *sorted(rows)])


def evasions() -> str:
    rows = [
        f"| `{name}` | {', '.join(f'`{key}`' for key in settings_of(name)) or '-'} | {summary(cls)} |"
        for name, cls in EVASIONS.items()
        if isinstance(cls, type)
    ]
    text = (
        "Oracles around the suspect, stacked by name, nearest to the model first: `evade(oracle, "
        '"jpeg:quality=75|round:digits=2", seed=0)`.'
    )
    return "\n".join([text, "", "| evasion | settings | what it does |", "|---|---|---|", *rows])


def strength() -> str:
    if not STRENGTH.is_file():
        return "Not measured yet: `make bench-attacks`."
    record = json.loads(STRENGTH.read_text())
    said = record["settings"]
    text = (
        f"Mean and 95 % Student interval over {said['seeds']} sources (`{said['source']}`, accuracy "
        f"{', '.join(f'{a:.3f}' for a in record['source_accuracy'])}), each robbed once by a thief with "
        f"{said['samples']} samples; students `{said['student']}`; "
        "all else at the defaults. Seconds of one processor."
    )
    rows = [
        f"| `{row['attack']}`{variant(row['variant'])} | {row['queries']} | {shown(row['accuracy'])} | "
        f"{shown(row['cost'])} | {shown(row['agreement'])} | "
        f"{row['seconds'][0]:.1f} | {row['failed']} of {row['n']} |"
        for row in record["table"]
    ]
    head = [
        "| attack | queries | accuracy | accuracy lost | agreement | seconds | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([text, "", *head, *rows])


def gained() -> str:
    """What adaptive thieves gain beside plain ones, a line a method, attack and access."""
    if not GAINED.is_file():
        return ""
    record, groups = json.loads(GAINED.read_text()), dict[tuple[str, str, bool], list[dict[str, Any]]]()
    for row in record["rows"]:
        way = variant({key: value for key, value in row["settings"].items() if key != "student"})
        groups.setdefault((f"`{row['method']}`", f"`{row['attack']}`{way}", row["weights"]), []).append(row)
    text = (
        f"On digits, {record['seeds']} sources (an mlp), {record['placebos']} placebos (the least p is "
        f"{1 / (record['placebos'] + 1):g}), beside the plain theft of the same access. "
        "Copies stay found by `kinship`. Of students by true labels one in three escapes, at no cost in accuracy: "
        "such a thief has hardly used the answers it stole. "
        "On these data the thief's own models know its true labels by heart, so that `ensemble` does what `labels` "
        "does."
    )
    rows = [
        f"| {method} | {attack} | {'weights' if weights else 'answers'} | "
        f"{', '.join(format(row['lost'], '.3f') for row in found)} | "
        f"{', '.join(format(row['p'], 'g') for row in found)} |"
        for (method, attack, weights), found in groups.items()
    ]
    return "\n".join([text, "", "| method | theft | has | accuracy lost | p |", "|---|---|---|---|---|", *rows])


def peers() -> str:
    if not PEERS.is_file():
        return "Not measured yet: `make bench-peers`."
    record = json.loads(PEERS.read_text())
    said = record["settings"]
    text = (
        f"The table has the agreement with the source on {said['test']} test images, and seconds of one processor. "
        f"Figures are the mean and 95 % Student interval over {said['seeds']} seed{'s' if said['seeds'] > 1 else ''}. "
        f"Both have the same source (`{said['source']}`), pool, {said['queries']} queries, student "
        f"(`{said['student']}`), {said['epochs']} epochs and batches of {said['batch']}. "
        f"The adversarial-robustness-toolbox {record['versions']['art']} trains with AdamW at the best of three "
        "constant rates, chosen for each attack on the first seed."
    )
    rows = [
        (
            f"| {row['pair']} | {shown(row['ours'])} | {shown(row['art'])} | {shown(row['difference'])} | "
            f"{row['ours_seconds'][0]:.1f} | {row['art_seconds'][0]:.1f} |"
        )
        for row in record["table"]
    ]
    text += f" {record['note']}" if record.get("note") else ""
    return "\n".join(
        [
            text,
            "",
            "| theft | ours | toolbox | difference | our seconds | its seconds |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )


def variant(settings: dict[str, Any]) -> str:
    return " " + ", ".join(f"{key}={value}" for key, value in settings.items()) if settings else ""


def shown(value: list[Any] | None) -> str:
    if value is None:
        return "-"
    mean, low, high = value
    return f"{mean:.3f}" if low is None or low == high else f"{mean:.3f} ({low:.3f} to {high:.3f})"
