"""LitServe: an API of one's own at /classify, and another in TensorFlow Serving's form."""

import sys
from typing import Any

import litserve as ls
import numpy as np
from network import load


class Classify(ls.LitAPI):
    """{"images": [...]} -> {"results": [{"scores": [...]}, ...]}"""

    def setup(self, device: str) -> None:
        self.predict_rows = load(sys.argv[1])

    def decode_request(self, request: dict[str, Any], **kwargs: Any) -> Any:
        return np.asarray(request["images"], dtype=np.float32)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        return self.predict_rows(x)

    def encode_response(self, output: Any, **kwargs: Any) -> Any:
        return {"results": [{"scores": row} for row in output.tolist()]}


class Predict(Classify):
    """{"instances": [...]} -> {"predictions": [...]}"""

    def decode_request(self, request: dict[str, Any], **kwargs: Any) -> Any:
        return np.asarray(request["instances"], dtype=np.float32)

    def encode_response(self, output: Any, **kwargs: Any) -> Any:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    apis = [Classify(api_path="/classify"), Predict(api_path="/v1/models/digits:predict")]
    ls.LitServer(apis, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False
    )
