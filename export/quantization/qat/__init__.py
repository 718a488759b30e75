"""Quantization-aware training: fine-tuning a model that feels its rounding."""
