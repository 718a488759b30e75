"""Argument names of other libraries, and the names here.

What is not known is refused in one sentence with the right name.
"""

from keras_vit.choices import did_you_mean

# Elsewhere (timm, transformers, keras.applications, papers, ...) -> here.
MODELS = {
    **dict.fromkeys(
        ("num_classes", "n_classes", "nb_classes", "num_labels"), "classes"
    ),
    **dict.fromkeys(("output_dim", "units", "n_class", "class_num"), "classes"),
    **dict.fromkeys(("img_size", "input_size", "image_shape", "size"), "image_size"),
    **dict.fromkeys(("input_shape", "image_size", "resolution"), "image_size"),
    **dict.fromkeys(("in_chans", "in_channels", "num_channels"), "channels"),
    **dict.fromkeys(("patch", "patch_sizes"), "patch_size"),
    **dict.fromkeys(("embed_dim", "hidden_size", "hidden_dim", "dim"), "width"),
    **dict.fromkeys(("projection_dim", "d_model", "embedding_dim"), "width"),
    **dict.fromkeys(("num_layers", "num_hidden_layers", "layers", "n_layers"), "depth"),
    **dict.fromkeys(("transformer_layers", "num_blocks"), "depth"),
    **dict.fromkeys(("num_heads", "n_heads", "num_attention_heads"), "heads"),
    **dict.fromkeys(("mlp_ratio", "intermediate_size", "mlp_units"), "mlp_dim"),
    **dict.fromkeys(("drop_rate", "dropout_rate", "hidden_dropout_prob"), "dropout"),
    **dict.fromkeys(("drop_path_rate", "stochastic_depth"), "drop_path"),
    **dict.fromkeys(("attn_drop_rate", "attention_dropout_rate"), "attention_dropout"),
    **dict.fromkeys(("global_pool", "pool"), "pooling"),
    **dict.fromkeys(("head_activation", "final_activation"), "classifier_activation"),
    **dict.fromkeys(("pretrained", "checkpoint", "checkpoint_path"), "weights"),
    **dict.fromkeys(("reg_tokens", "num_registers"), "registers"),
    **dict.fromkeys(("init_values", "layer_scale_init"), "layer_scale"),
    **dict.fromkeys(("class_names", "id2label"), "labels"),
}
TRAINING = {
    **dict.fromkeys(("lr", "max_lr", "base_lr", "initial_lr"), "learning_rate"),
    **dict.fromkeys(
        ("num_epochs", "n_epochs", "nb_epoch", "num_train_epochs"), "epochs"
    ),
    **dict.fromkeys(("bs", "batch", "train_batch_size"), "batch_size"),
    **dict.fromkeys(("wd", "decay", "l2"), "weight_decay"),
    **dict.fromkeys(("optim", "opt"), "optimizer"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), "schedule"),
    **dict.fromkeys(("warmup_epochs", "warmup_steps", "warmup_ratio"), "warmup"),
    **dict.fromkeys(("early_stopping", "early_stop", "es_patience"), "patience"),
    **dict.fromkeys(("aug", "augmentation", "transforms"), "augment"),
    **dict.fromkeys(("smoothing",), "label_smoothing"),
    **dict.fromkeys(("img_size", "input_size", "input_shape"), "image_size"),
    **dict.fromkeys(("grad_clip", "clip_grad", "max_grad_norm"), "clipnorm"),
    **dict.fromkeys(("llrd", "layer_lr_decay"), "layer_decay"),
    **dict.fromkeys(("amp", "dtype", "mixed_precision"), "precision"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
    **dict.fromkeys(("output", "out", "out_dir", "save_dir", "logdir"), "output_dir"),
    **dict.fromkeys(("val_data", "validation_data", "dataset", "train_data"), "data"),
    **dict.fromkeys(("device", "devices", "gpus"), "strategy"),
    **dict.fromkeys(("weights", "checkpoint", "pretrained"), "model"),
}
# Same name, another kind of value: it is not repeated.
OTHER_VALUE = {"mlp_dim", "warmup", "precision", "strategy", "data", "weights", "model"}


def check_names(where, arguments, known, synonyms, beside=()):
    """Refuse the first unknown argument, with a suggestion.

    Args:
        where: takes them. arguments: name -> value. known: names that exist.
        synonyms: names elsewhere -> names here.
        beside: names that belong to the caller, and can be meant.

    Raises:
        TypeError: for a name that is not known.

    >>> check_names("ViT_B16", {"num_classes": 10}, ["classes"], MODELS)
    Traceback (most recent call last):
    TypeError: ViT_B16: has no argument 'num_classes'. Use classes=10.
    """
    noun = "field" if where == "recipe" else "argument"
    for name, value in arguments.items():
        if name in known:
            continue
        meant = synonyms.get(name)
        if meant in known or meant in beside:
            if meant == "image_size" and isinstance(value, tuple | list):
                value = tuple(value[:2])
            plain = isinstance(value, int | float | str | tuple)
            shown = plain and meant not in OTHER_VALUE
            hint = f" Use {meant}={value!r}." if shown else f" Use {meant}=..."
        else:
            near = did_you_mean(name, [*known, *beside])
            hint = near or f" Known: {', '.join(known)}."
        raise TypeError(f"{where}: has no {noun} {name!r}.{hint}")
