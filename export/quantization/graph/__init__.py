"""The graph of a `.tflite` file as Python objects, and what its parts are."""
