"""Ways to a suspect: model files, exported programs, ONNX, and one file per HTTP dialect."""
