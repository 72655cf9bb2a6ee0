"""What an accelerator must do: train and ask there, share one GPU among twins, and survive a lack of memory.

    python benchmarks/gpu/check.py [--device cuda] [--out benchmarks/gpu/record.json]

Four twins of a small vgg are trained on Fashion-MNIST by the local pool, first on the processor and then on the device,
one at a time and side by side. It asks whether source and twins agree with those of the processor as reruns do, whether
answers on the device are those of the processor to 1e-3, and whether a batch that does not fit is halved. It fails if
one of them does not hold. Without an accelerator it says so and ends with code 3.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birthmark import data
from birthmark.bench.jobs import machine
from birthmark.errors import SettingError
from birthmark.workshop import devices
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import twin_cards
from birthmark.workshop.training import outputs
from birthmark.zoo.build import build
from birthmark.zoo.executors import Pool
from birthmark.zoo.store import Store

TWINS, PART = 4, "owner[:10000]"


def trained(folder: Path, device: str, workers: int) -> tuple[float, np.ndarray]:
    """Seconds that the twins took, and their answers (m, n, k) to the pool, asked on the processor."""
    devices.use(device)
    parts = data.load("fashion-mnist")
    source = Card("trained", parts.about(PART), PART, "vgg", training={"epochs": 4, "rate": 1e-2})
    store, cards = Store(folder), [source, *twin_cards(source, TWINS - 1)]
    begun = time.monotonic()
    with closing(Pool(workers)) as pool:
        build(cards, store, data=parts, executor=pool)
    took = time.monotonic() - begun
    devices.use("cpu")
    return took, np.stack([outputs(store.load(card.key), parts["queries"].inputs[:2000]) for card in cards])


def halved(device: str) -> int:
    """How many inputs were answered at a time, when a batch of all of them asks for more memory than there is."""
    devices.use(device)
    there, sizes = torch.cuda.mem_get_info(devices.device())[0], list[int]()

    def ask(part: np.ndarray) -> torch.Tensor:
        torch.empty(len(part) * there // 1500, dtype=torch.uint8, device=devices.device())
        sizes.append(len(part))
        return torch.zeros(len(part), 1)

    assert len(torch.cat(devices.in_batches(ask, np.zeros((4000, 1), np.float32), 4000))) == 4000
    return max(sizes)


def main() -> int:
    """Print and keep the record; 0 if all holds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    try:
        devices.use(given.device)
    except SettingError as error:
        print(f"not run here: {error}")
        return 3
    seconds, answers, found = dict[str, float](), dict[str, Any](), dict[str, Any]()
    with tempfile.TemporaryDirectory() as place:
        for name, device, workers in (
            ("processor", "cpu", TWINS),
            ("device, one by one", given.device, 1),
            ("device, side by side", given.device, TWINS),
        ):
            seconds[name], answers[name] = trained(Path(place) / name, device, workers)
            seconds[name] = round(seconds[name], 1)
    tops = {name: rows.argmax(axis=2) for name, rows in answers.items()}
    found["agreement of reruns"] = float((tops["processor"][0] == tops["processor"][1]).mean())
    found["agreement of devices"] = float((tops["processor"] == tops["device, side by side"]).mean())
    found["side by side, same answers"] = float(
        np.abs(answers["device, side by side"] - answers["device, one by one"]).max()
    )
    found["largest batch that fitted"] = halved(given.device) if given.device.startswith("cuda") else None
    held = found["agreement of devices"] >= found["agreement of reruns"] - 0.02
    record = {"device": given.device, "seconds": seconds, **found, "held": held, "machine": machine()}
    if torch.cuda.is_available():
        record["gpu"] = torch.cuda.get_device_name(devices.device())
    print(json.dumps(record, indent=1))
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
