"""Methods a recipe can ask for: distillation, SAM, LoRA, progressive resizing."""
