"""Rows a second that marking takes, on one core, in CPU time: python benchmarks/gateway/mark_speed.py"""

import json
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.watermarks.dynamarks import DynaMarks

random = np.random.default_rng(0)
found = {}
for name, shape in (("tabular, 30 columns", (30,)), ("28x28 grey", (1, 28, 28)), ("32x32 colour", (3, 32, 32))):
    x = random.random((2000, *shape)).astype(np.float32)
    p = random.dirichlet(np.ones(10) * 0.1, size=2000)
    ring = Keyring.make(x[:500], x[:100], p[:100], np.zeros((0, 100, 10)), seed=0, placebos=9)
    for strength in ("default", "strong"):
        mark = DynaMarks(strength=strength, placebos=9, key=ring.client(Secret(b"k" * 32), "a"))
        mark.mark(x, p)
        rates = []
        for _ in range(15):
            began = time.process_time()
            mark.mark(x, p)
            rates.append(2000 / (time.process_time() - began))
        one = []
        for i in range(300):
            began = time.process_time()
            mark.mark(x[i : i + 1], p[i : i + 1])
            one.append(time.process_time() - began)
        rate, micro = float(np.median(rates)), float(np.median(one)) * 1e6
        found[f"{name}, {strength}"] = {"rows_per_second": round(rate), "one_row_us": round(micro)}
print(json.dumps(found, indent=1))
