"""SavedModel: signatures of TensorFlow functions, and decoding of image files."""
