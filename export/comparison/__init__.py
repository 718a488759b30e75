"""An exported file beside the Keras model: differences summed up over many images."""
