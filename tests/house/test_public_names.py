"""Names that programs rely on stay where they are, whatever rooms are made."""

import importlib

import pytest

PUBLIC = {
    "keras_vit": """
        ViT_Ti16 ViT_S8 ViT_S16 ViT_S32 ViT_B8 ViT_B16 ViT_B32 ViT_L16 ViT_L32 ViT_H14
        ViT_g14 ViT_G14 R_Ti16 R26_S32 R26_B32 R50_B16 R50_L32 DeiT_Ti16 DeiT_S16
        DeiT_B16 BiT_R50x1 BiT_R50x3 BiT_R101x1 BiT_R101x3 BiT_R152x2 BiT_R152x4
        ImageGPT_S ImageGPT_M ImageGPT_L VisionTransformer from_checkpoint create
        list_models list_checkpoints preprocess_input decode_predictions
        feature_extractor classifier_from MaskedAutoencoder MaskedPatchPrediction
        ImageGPT Preprocessing save_checkpoint""",
    "keras_vit.layers": "Patches PatchEncoder TransformerBlock",
    "keras_vit.introspect": """
        attention_maps attention_rollout attention_distance position_similarity
        embedding_filters""",
    "keras_vit.training": """
        fit load_data load_split get_recipe list_recipes choose_strategy evaluate
        rates""",
    "keras_vit.training.evaluate": "top_k linear_probe few_shot knn report probes",
    "keras_vit.export": """
        to_savedmodel to_tflite to_onnx verify export_all export_for benchmark
        Exported Verification ExportReport Signature""",
    "keras_vit.export.quantization": "Ranges calibrate sensitivity quantize_aware",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    """Every one of them, as a program would ask for it."""
    found = importlib.import_module(module)

    assert [] == [name for name in PUBLIC[module].split() if not hasattr(found, name)]
    functions = "fit verify export_all top_k knn calibrate".split()
    own = [getattr(found, name) for name in functions if hasattr(found, name)]
    assert all(map(callable, own))
