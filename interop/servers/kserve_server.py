"""KServe's Python server: V1 and V2 in one process."""

import sys
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from network import load


class Digits(Model):
    def __init__(self) -> None:
        super().__init__("digits")
        self.rows = load(sys.argv[1])
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        if not isinstance(payload, InferRequest):
            return {"predictions": self.rows(np.asarray(payload["instances"])).tolist()}
        given = payload.inputs[0]
        rows = self.rows(given.as_numpy().reshape(given.shape))
        output = InferOutput(name="probabilities", shape=list(rows.shape), datatype="FP32")
        output.set_data_from_numpy(rows, binary_data=bool(given.parameters and "binary_data_size" in given.parameters))
        return InferResponse(response_id=payload.id, model_name="digits", infer_outputs=[output])


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([Digits()])
