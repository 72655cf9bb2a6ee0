"""Fail if the set-up brought what it must not: torchvision, or any CUDA package beside the CPU build."""

import sys
from importlib.metadata import distributions

names = {(found.metadata["Name"] or "").lower() for found in distributions()}
unwanted = sorted(name for name in names if name == "torchvision" or name.startswith("nvidia-"))
if unwanted:
    sys.exit(
        f"unwanted packages were installed: {', '.join(unwanted)}; install with -c constraints.txt in a fresh "
        "environment"
    )
print(f"{len(names)} packages, no torchvision, no nvidia-*")
