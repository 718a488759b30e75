"""ONNX export: graph, operators, serialization and quantization."""
