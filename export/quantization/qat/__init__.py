"""Quantization-aware training: fine-tuning with fake quantization."""
