"""From a Keras model to a float32 file of TensorFlow: what every recipe starts from."""
