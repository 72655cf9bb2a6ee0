"""A folder of 50,000 small pictures: seconds to open, memory, and training speed beside the same data in memory.

    python benchmarks/data/pictures.py FOLDER OUT.json

Makes the pictures (32x32 RGB PNG, 10 classes) in FOLDER if they are not there. Each measurement is a process of its
own, so that its peak memory is its own; three pairs of training runs alternate, and the ratio is of their medians.
"""

import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

N, CLASSES, SIDE, PAIRS = 50_000, 10, 32, 3


def make(folder: Path) -> None:
    """Smooth colours of each class, and noise."""
    random = np.random.default_rng(0)
    smooth = [Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(CLASSES)]
    base = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(int) for image in smooth]
    for c in range(CLASSES):
        (folder / f"class-{c}").mkdir(parents=True, exist_ok=True)
    for i in range(N):
        pixels = base[i % CLASSES] + random.integers(-90, 90, (SIDE, SIDE, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"class-{i % CLASSES}" / f"{i}.png")


def peak() -> float:
    """Most megabytes this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def opened(folder: Path) -> dict[str, float]:
    from birthmark import data
    from birthmark.data.folder import image_folder

    data.load("digits")  # what the first call alone imports
    start, before = time.monotonic(), peak()
    found = image_folder(folder)
    seconds = time.monotonic() - start
    assert len(found.train) == N
    return {"open_seconds": seconds, "before_mb": before, "open_peak_mb": peak()}


def trained(folder: Path, how: str) -> dict[str, float]:
    """Samples a second of one epoch over the first 20,000 shuffled pictures, from the folder or from memory."""
    import torch

    from birthmark.data.folder import image_folder
    from birthmark.types import Samples
    from birthmark.workshop.architectures import build
    from birthmark.workshop.training import Training, fit

    torch.set_num_threads(1)
    part = image_folder(folder).train[np.random.default_rng(0).permutation(N)]
    if how == "memory":
        part = Samples(np.array(part.inputs[:]), part.targets, part.classes)
    assert isinstance(part.inputs, np.ndarray) == (how == "memory")
    model, some = build("res:width=8", part.shape, CLASSES, seed=0), part[:20_000]
    fit(model, part[:2000], Training(epochs=1), seed=0)
    start = time.monotonic()
    fit(model, some, Training(epochs=1), seed=0)
    return {f"{how}_per_second": len(some) / (time.monotonic() - start), f"{how}_peak_mb": peak()}


def asked(folder: Path, what: str) -> dict[str, float]:
    """What one of the measurements found, in a process of its own."""
    command = [sys.executable, __file__, str(folder), "-", what]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    folder, out, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if what:
        print(json.dumps(opened(folder) if what[0] == "open" else trained(folder, what[0])))
        return
    if not folder.is_dir():
        make(folder)
    asked(folder, "open")  # the files are in the system's cache from here on
    found = asked(folder, "open")
    runs = [{**asked(folder, "disk"), **asked(folder, "memory")} for _ in range(PAIRS)]
    found |= {key: median(run[key] for run in runs) for key in runs[0]}
    found["ratio"] = found["disk_per_second"] / found["memory_per_second"]
    record = {key: round(value, 3) for key, value in found.items()}
    about = {
        "n": N,
        "side": SIDE,
        "pairs": PAIRS,
        "network": "res:width=8",
        "machine": platform.processor() or "x86_64",
    }
    command = "python benchmarks/data/pictures.py FOLDER benchmarks/data/pictures.json"
    Path(out).write_text(json.dumps({"command": command, **about, **record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
