"""TorchServe: packs the handler and the weights into an archive and serves it (needs Java 17)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

weights, port, folder = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
here, tools = Path(__file__).parent, Path(sys.executable).parent
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
shutil.copy(weights, folder / "weights.npz")
subprocess.run(
    [
        tools / "torch-model-archiver",
        "--model-name",
        "digits",
        "--version",
        "1.0",
        "--handler",
        here / "torchserve_handler.py",
        "--extra-files",
        f"{here / 'network.py'},{folder / 'weights.npz'}",
        "--export-path",
        folder,
    ],
    check=True,
)
local = "http://127.0.0.1"
(folder / "config.properties").write_text(
    f"inference_address={local}:{port}\nmanagement_address={local}:{port + 1}\nmetrics_address={local}:{port + 2}\n"
    f"grpc_inference_port={port + 3}\ngrpc_management_port={port + 4}\ndefault_workers_per_model=1\n"
)
os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
os.environ["LOG_LOCATION"] = os.environ["METRICS_LOCATION"] = str(folder)
os.environ["TMPDIR"] = str(folder)  # its file of the running process would be shared with every other TorchServe
os.chdir(folder)
arguments = [
    "torchserve",
    "--start",
    "--foreground",
    "--disable-token-auth",
    "--ncs",
    "--model-store",
    str(folder),
    "--models",
    "digits=digits.mar",
]
os.execvp("torchserve", [*arguments, "--ts-config", str(folder / "config.properties")])
