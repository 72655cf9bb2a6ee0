"""TorchServe's handler: {"instances": [row]} -> row of probabilities."""

import json
import os

import numpy as np
from network import load

state = {}


def handle(data, context):
    if not state:
        state["rows"] = load(os.path.join(context.system_properties["model_dir"], "weights.npz"))
    if data is None:
        return None
    bodies = [item.get("body") or item.get("data") for item in data]
    bodies = [json.loads(body) if isinstance(body, (bytes, bytearray, str)) else body for body in bodies]
    return [state["rows"](np.asarray(body["instances"]))[0].tolist() for body in bodies]
