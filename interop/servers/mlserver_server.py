"""MLServer: writes its two settings files and starts it."""

import json
import os
import sys
from pathlib import Path

weights, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
(folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}))
model = {
    "name": "digits",
    "implementation": "mlserver_model.Digits",
    "parameters": {"uri": weights},
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
}
(folder / "model-settings.json").write_text(json.dumps(model))
os.environ["PYTHONPATH"] = str(Path(__file__).parent)
os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(folder)])
