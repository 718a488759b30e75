"""Ways to train that a recipe can ask for: distillation, SAM, LoRA, growing images."""
