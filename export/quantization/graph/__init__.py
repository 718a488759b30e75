"""The graph of a `.tflite` file as Python objects: editing, layers, norms."""
