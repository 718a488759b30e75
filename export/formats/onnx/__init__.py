"""TODO onnx."""
