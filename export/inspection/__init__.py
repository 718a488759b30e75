"""Inspection of an exported file: operators, dtypes, accelerators, layer errors.

`anatomy` holds the facts in one form for every format; `tflite` and `onnx` read them;
`blocks` finds the residual blocks of a transformer by their structure; `delegates`
says what phones' accelerators refuse; `layers` compares block by block with Keras;
`half` looks for activations that 16-bit floats cannot hold.
"""
