"""ONNX: the graph, its operators, its file, and its own quantization."""
