"""Triton, the real server, started by pytriton."""

import sys

import numpy as np
from network import load
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

rows = load(sys.argv[1])
port = int(sys.argv[2])


@batch
def infer(images: np.ndarray) -> list[np.ndarray]:
    return [rows(images)]


if __name__ == "__main__":
    here = "127.0.0.1"
    config = TritonConfig(
        http_port=port,
        grpc_port=port + 1,
        metrics_port=port + 2,
        http_address=here,
        grpc_address=here,
        metrics_address=here,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="digits",
            infer_func=infer,
            inputs=[Tensor(name="images", dtype=np.float32, shape=(64,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=64),
        )
        triton.serve()
