"""MLflow: saves a python function model and serves it with MLflow's own scoring server."""

import os
import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from network import load


class Digits(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.rows = load(context.artifacts["weights"])

    def predict(self, context, model_input, params=None):
        return self.rows(model_input)


weights, port, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
shutil.rmtree(folder, ignore_errors=True)
signature = ModelSignature(
    Schema([TensorSpec(np.dtype(np.float32), (-1, 1, 8, 8))]), Schema([TensorSpec(np.dtype(np.float32), (-1, 10))])
)
mlflow.pyfunc.save_model(
    str(folder),
    python_model=Digits(),
    artifacts={"weights": weights},
    signature=signature,
    pip_requirements=["numpy"],
    code_paths=[str(Path(__file__).with_name("network.py"))],
)
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
os.execvp(
    "mlflow",
    [
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-w",
        "1",
    ],
)
