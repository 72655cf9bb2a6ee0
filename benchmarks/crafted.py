"""Crafted fingerprints beyond the leaderboard: cohort size, ablation of the cohort, naturalness of the queries.

    python benchmarks/crafted.py table|sizes|ablation|naturalness --store STORE --plan fingerbench-fmnist --source 0
    --out benchmarks/fingerbench-fmnist

The store must hold the plan's models (birthmark zoo build); cohort members that it lacks are trained. Every claim is
kept in the store, so a run that was stopped continues. Nothing here chooses settings: figures are about the methods'
defaults.

table         raw AUC and ARUC by group of theft and tier of innocents, of each method and of NaturalFinger's variants
sizes         raw ARUC and AUC of each method with every 1st, 2nd, 4th model of the wide cohort
ablation      the same without twins, without mirrored treatments, adversarial members, students, or patchworks
naturalness   AUC of a small classifier that tells queries from held-out images, five-fold: .5 is natural, 1 is obvious
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from birthmark import registry, stats
from birthmark.answers import softmax
from birthmark.artifact import digest_of
from birthmark.claim import Claim
from birthmark.crafting.images import eight_bit
from birthmark.theft.carrying_out import RUINED
from birthmark.types import Samples
from birthmark.workshop.architectures import build as network
from birthmark.workshop.cohort import recipe
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import Training, accuracy, fit, outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.catalogue import read
from birthmark.zoo.executors import Serial
from birthmark.zoo.store import Store

METHODS = {
    "ipguard": {},
    "cem": {},
    "metav": {},
    "metafinger": {},
    "liteguard": {},
    "naturalfinger": {},
    "naturalfinger-pixels": {"space": "pixels"},
    "naturalfinger-both": {"space": "both"},
}
TWINS = 8


def toml(value) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def written(plan, folder: Path) -> str:
    """A recipe as a TOML file named by its content; returns its path."""
    lines = [f"{key} = {toml(value)}" for key, value in plan.items() if key not in ("independent", "treatment")]
    for part in ("independent", "treatment"):
        for table in plan.get(part, ()):
            lines += [f"[[{part}]]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    path = folder / f"{digest_of(plan)[:12]}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def variants(what):
    wide = recipe("wide")
    if what == "table":
        return {"wide": wide}
    if what == "sizes":
        return {f"1/{thin}": {**wide, "thin": thin} for thin in (4, 2, 1)}
    return {
        "wide": wide,
        "no twins": {**wide, "twins": 0},
        "not mirrored": {**wide, "mirrored": False},
        "no adversarial members": {**wide, "without": ["adv-train"]},
        "no students": {**wide, "without": ["distill", "retrain", "patchwork"]},
        "no patchworks": {**wide, "without": ["patchwork"]},
    }


class Bench:
    def __init__(self, store: Path, plan: str, source: int) -> None:
        self.store, self.plan, self.source = Store(store), read(plan), source
        data, entries = self.plan.load(), self.plan.of(source)
        card = next(entry.card for entry in entries if entry.role == "source")
        module = self.store.load(card.key)
        make = workshop(module, card, self.store, data, Serial())
        self.owner = Owner(
            module,
            card,
            data[card.split],
            data["reserve"],
            data["queries"],
            make,
            scratch=self.store.folder / "crafted",
        )
        self.test = data["test"]
        wanted = [entry for entry in entries if entry.role in ("positive", "negative") and not entry.evasion]
        twins = [entry for entry in entries if entry.role == "twin"][TWINS:]  # the cohort has had the first ones
        self.suspects = [(entry, self.store.load(entry.card.key)) for entry in (*wanted, *twins)]
        least = accuracy(module, self.test) - RUINED
        self.failed = {
            entry.name
            for entry, suspect in self.suspects
            if entry.role == "positive" and accuracy(suspect, self.test) < least
        }

    def claim(self, name: str, settings) -> Claim:
        method = registry.make("methods", name, {"references": 0, **settings})
        place = self.store.folder / "crafted-claims" / digest_of([self.owner.card.key, name, settings])[:16]
        if (place / "manifest.json").is_file():
            return Claim.load(place)[0]
        claim = method.fit(self.owner, seed=0)
        claim.save(place)
        return claim

    def scored(self, claim: Claim):
        """Raw scores at labels and at probabilities, as (role, group, tier, score, whether the theft failed)."""
        method, rows = registry.scorer(claim), {"labels": [], "probs": []}
        for entry, module in self.suspects:
            answers = softmax(outputs(module, claim.queries))
            for access, seen in (("probs", answers), ("labels", np.eye(answers.shape[1])[answers.argmax(1)])):
                rows[access].append(
                    (entry.role, entry.group, entry.tier, method.score(claim, seen).raw, entry.name in self.failed)
                )
        return rows

    def figures(self, claim: Claim):
        found = {}
        for access, rows in self.scored(claim).items():
            pos, neg, twins = ([r[3] for r in rows if r[0] == role] for role in ("positive", "negative", "twin"))
            changed = [
                r
                for r in rows
                if r[0] == "positive" and r[1] not in ("distillation", "knockoff", "adversarial training")
            ]
            kept = [r for r in rows if r[0] == "positive" and not r[4]]  # a failed theft defeats no fingerprint
            kept_groups = {group: [r[3] for r in kept if r[1] == group] for group in sorted({r[1] for r in kept})}
            groups = sorted({r[1] for r in rows if r[0] == "positive"})
            innocents = sorted({(r[2], r[1]) for r in rows if r[0] == "negative"})
            robust = [r[3] for r in rows if r[0] == "negative" and r[1] == "adversarial training"]
            found[access] = {
                "n_pos": len(pos),
                "n_neg": len(neg),
                "auc": stats.auc(pos, neg),
                "aruc": stats.aruc(pos, neg),
                "aruc_modified": stats.aruc([r[3] for r in changed], neg),
                "without_failed_thefts": {
                    "n_pos": len(kept),
                    "auc": stats.auc([r[3] for r in kept], neg),
                    "aruc": stats.aruc([r[3] for r in kept], neg),
                    "aruc_modified": stats.aruc([r[3] for r in changed if not r[4]], neg),
                    "auc_by_group": {group: stats.auc(scores, neg) for group, scores in kept_groups.items()},
                    "auc_by_innocents": {
                        " / ".join(kind): stats.auc(
                            [r[3] for r in kept], [r[3] for r in rows if r[0] == "negative" and (r[2], r[1]) == kind]
                        )
                        for kind in sorted({(r[2], r[1]) for r in rows if r[0] == "negative"})
                    },
                },
                "auc_by_group": {
                    group: stats.auc([r[3] for r in rows if r[0] == "positive" and r[1] == group], neg)
                    for group in groups
                },
                "auc_by_innocents": {
                    " / ".join(kind): stats.auc(
                        pos, [r[3] for r in rows if r[0] == "negative" and (r[2], r[1]) == kind]
                    )
                    for kind in innocents
                },
                "unseen_twins": {"n": len(twins), "auc": stats.auc(pos, twins), "mean": float(np.mean(twins))}
                if twins
                else {},
                "mean_pos": float(np.mean(pos)),
                "mean_neg": float(np.mean(neg)),
                "robust_innocents": {
                    "n": len(robust),
                    "mean": float(np.mean(robust)),
                    "max": float(np.max(robust)),
                    "auc": stats.auc(pos, robust),
                }
                if robust
                else {},
            }
        return found


def naturalness(queries, images, *, seed: int) -> float:
    """Five-fold AUC of a small network that tells queries from as many held-out images, mean of the folds."""
    n = len(queries)
    some = eight_bit(images[np.random.default_rng(seed).permutation(len(images))[:n]])
    x, y = np.concatenate([queries, some]), np.repeat([1, 0], n)
    order, found = np.random.default_rng(seed).permutation(2 * n), []
    for fold in np.array_split(order, 5):
        rest = np.setdiff1d(order, fold)
        judge = network("cnn", x.shape[1:], 2, seed=seed)
        fit(judge, Samples(x[rest], y[rest].astype(np.int64), 2), Training(epochs=30, batch=16, rate=3e-3), seed=seed)
        rows = outputs(judge, x[fold])
        found.append(stats.auc((rows[:, 1] - rows[:, 0])[y[fold] == 1], (rows[:, 1] - rows[:, 0])[y[fold] == 0]))
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "sizes", "ablation", "naturalness"])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--plan", default="fingerbench-fmnist")
    parser.add_argument("--source", type=int, default=0)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench, rows = Bench(given.store, given.plan, given.source), []
    for label in given.methods:
        name = label.partition("-")[0]
        crafted = "cohort" in registry.found("methods")[name].__dataclass_fields__
        for variant, plan in (
            variants(given.what) if given.what != "naturalness" and crafted else {"wide": recipe("wide")}
        ).items():
            cohort = (
                {}
                if not crafted
                else {"cohort": "wide" if plan == recipe("wide") else written(plan, given.store / "cohorts")}
            )
            claim = bench.claim(name, {**METHODS[label], **cohort})
            found = (
                {"naturalness": naturalness(claim.queries, bench.test.inputs, seed=0)}
                if given.what == "naturalness"
                else bench.figures(claim)
            )
            rows.append(
                {
                    "method": label,
                    "cohort": variant,
                    "members": claim.facts.get("cohort", {}),
                    "queries": len(claim.queries),
                    **found,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    about = {"plan": given.plan, "source": given.source, "seed": 0, "what": given.what, "rows": rows}
    (given.out / f"crafted-{given.what}-{given.source}.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
