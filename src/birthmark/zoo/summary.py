"""What the command line does with a plan and a store: build, list, count the cost."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from birthmark.zoo.build import build
from birthmark.zoo.crew import Progress
from birthmark.zoo.executors import Executor
from birthmark.zoo.plan import Plan, check_splits
from birthmark.zoo.store import Store


def build_plan(
    plan: Plan,
    folder: Path,
    executor: Executor,
    *,
    sources: Sequence[int] = (),
    data_dir: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Build a plan's models of these sources (default all); says what was made, and what it took.

    Raises:
        BirthmarkError: some models could not be made.
    """
    started, store = time.monotonic(), Store(folder)
    plan, data = plan.load(data_dir)
    check_splits(plan, data)
    cards = plan.cards(sources)
    before = len(store.events())
    build(cards, store, data=data, executor=executor, progress=progress, gpus=lambda card: plan.gpus)
    built = [
        event
        for event in store.events()[before:]
        if event["event"] == "built" and event["key"] in {card.key for card in cards}
    ]
    return {
        "plan": plan.name,
        "sources": list(sources or plan.sources),
        "store": str(folder),
        "models": len(cards),
        "made": len(built),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(sum(event["cpu"] for event in built), 1),
        "peak_mb": max((event["peak_mb"] for event in built), default=0),
        "processors": os.cpu_count(),
    }


def listing(
    plan: Plan, folder: Path, sources: Sequence[int] = (), data_dir: Path | None = None
) -> list[dict[str, Any]]:
    """One row a model of the plan: name, role, group, tier, source, key, and whether the store holds it."""
    store, rows = Store(folder), dict[tuple[str, int | None], dict[str, Any]]()
    plan, _ = plan.load(data_dir)
    for source in sources or plan.sources:
        for entry in plan.of(source):
            rows[entry.name, entry.source] = {
                "name": entry.name,
                "role": entry.role,
                "group": entry.group,
                "tier": entry.tier,
                "source": entry.source,
                "key": entry.card.key,
                "there": entry.card.key in store,
            }
    return list(rows.values())
