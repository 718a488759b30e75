"""The record that a recipe fills in."""

import dataclasses
import numbers
from typing import Any, Self

from keras_vit.choices import check_choice
from keras_vit.training.data import augment as augmentation
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.sources import ON_BAD_IMAGE
from keras_vit.training.recipes import checks
from keras_vit.training.tasks import monitors
from keras_vit.words import TRAINING, check_names

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
POWERS = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}
EXAMPLES = {
    "steps": 10_000,
    "lora": 8,
    "patience": 5,
    "layer_decay": 0.75,
    "clipnorm": 1.0,
    "ema": 0.999,
}
DATA_RULES = (None, "bit_hyperrule")
OF_FIT = ("output_dir", "strategy", "callbacks", "verbose", "overwrite")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run but the model's first weights.

    Args:
        name: of the recipe.
        data: source for `load_data`, or None when the user must give one.
        model: model to build when none is given: a name for
            `keras_vit.create`, or a dict of `keras_vit.VisionTransformer`
            arguments, or a dict with such a name as "variant" and other arguments
            of `create`, or a dict with a class that learns without labels as "kind"
            ("MaskedAutoencoder") and its arguments, or a file as `fit` takes it; None
            when the user must give one.
        random_weights: whether a recipe that goes on from trained weights, having no
            model of its own, may begin with random ones.
        image_size: side in px or (H, W), of models built here, and of those read from
            a file, whose positions are resampled; None takes that of the file, or the
            data's own. A `keras.Model` that is given decides by itself.
        preprocessing: dict of fields of `keras_vit.Preprocessing` for models built
            here, or None. A model that is given has its own.
        epochs: passes over the training images; a change of it puts `steps` and
            `data_rule` aside.
        steps: updates in all, instead of epochs: as many stretches of equal length,
            between two validations, as come nearest to passes; None for epochs.
        data_rule: "bit_hyperrule": length, schedule and mixup follow from the number
            of training images (see that recipe); None leaves them as they are.
        batch_size: images per step, on all devices together.
        scaling: what happens to the learning rate when batch_size is changed and it
            is not: "linear" or "sqrt" keep its ratio to the batch or to the root of
            the batch, "none" leaves it.
        learning_rate: highest value of the schedule.
        schedule: shape of the learning rate, a key of
            `keras_vit.training.optim.schedules.SCHEDULES`, or a dict with "name" and
            options, durations in the manner of `warmup`:
            {"name": "rsqrt", "timescale": 10000, "cooldown": "50000 steps"}.
        warmup: while the learning rate grows linearly from 0: share of all steps,
            0..1, or text like "500 steps", "5 epochs".
        optimizer: a key of `keras_vit.training.optim.optimizers.OPTIMIZERS`, or a dict
            with "name" and options.
        weight_decay: share of each kernel taken away per step, times the
            learning rate (in LARS and LAMB part of the step); biases, norms, tokens
            and position tables are left alone.
        loss: "softmax", or "sigmoid" (each class on its own), or a dict with "name"
            and options, see `keras_vit.training.optim.losses`.
        beta_2: decay rate of the second moment, 0..1, of AdamW, LAMB and Adafactor.
        layer_decay: factor on the learning rate from each block to the one before
            it, 0..1, see `keras_vit.training.optim.param_groups.layer_rates`; None for
            none.
        rates: dict of pattern -> factor on the learning rate of the weights in
            whose path the pattern (a regular expression) is found; or None.
        clipnorm: largest global norm of the gradients, or None.
        ema: momentum per step of an average of the weights, 0..1, which is then
            what is validated and kept; None for no average.
        label_smoothing: probability spread over all classes, 0..1.
        teacher: model to learn from, a .keras file, a checkpoint or anything that
            `from_checkpoint` reads; None for none. `fit` also takes any Keras model.
        distillation: dict of how, see
            `keras_vit.training.methods.distillation.Distillation`.
        sharpness: dict of sharpness-aware minimisation (SAM), see
            `keras_vit.training.methods.sam.Sharpness`; None for the plain gradient.
        freeze: patterns (regular expressions) of weights that stay as they are.
        lora: rank of adapters that learn instead of the model's own kernels, see
            `keras_vit.training.methods.lora_and_freeze.add_lora`; None for none.
        remat: whether activations inside of blocks are computed again rather than
            kept: about 6 times less memory, a quarter more time.
        progressive: pairs (share of the run, px): from then on images are shrunk to
            that side, see `keras_vit.training.methods.progressive_resizing.Growth`; ()
            for none.
        augment: see `load_data`.
        mixup: alpha of mixup, 0 for none; None is what belongs to the name of the
            augmentation. See `keras_vit.training.data.mix.Mix`.
        cutmix: alpha of cutmix, 0 for none; with both, each batch draws one at random.
        mix_rule: whose way to mix: "big_vision", "timm" or "bit".
        precision: dtype policy of models built here; None is float32. A model
            that is given keeps its own.
        monitor: score that picks the best epoch: "val_top1", or "val_loss" where
            the validation split is so small that one image decides top-1; or another
            of the `monitors` of a registered task.
        patience: epochs without a better score, after which the run ends; None goes on
            to the last one.
        after: epochs of an earlier run that this one goes on with, see `go_on`; they
            count among `epochs`.
        seed: of weights, order, augmentation and dropout.
        steps_per_execution: most steps that run without coming back to Python;
            the largest number that divides an epoch is used.
        micro_batch: images that one device works on at once; its share of a batch is
            cut into micro-batches, whose gradients are summed in float32. Saves memory,
            and makes a run the same on any number of devices. None is all at once.
        xla: whether XLA compiles the forward and backward pass. Measured on a
            processor, it saves 15% of the time in float32 and costs twice as much in
            mixed_bfloat16.
        repeats: so many augmented copies of an image stand in a row (DeiT: 3); an
            epoch has as many steps as without.
        cache: whether encoded images are kept in memory.
        on_bad_image: "refuse", "skip" or "stop", see `load_data`.
        save_minutes: at least so long between two writes of the state that a stopped
            run goes on from; writing never takes more than a twentieth of the time.
        loss_limit: a step with a larger loss, or a NaN one, ends the run.

    Raises:
        ValueError: for a value out of range.
    """

    name: str
    data: str | None = None
    model: str | dict | None = None
    random_weights: bool = False
    image_size: int | tuple | None = None
    preprocessing: dict | None = None
    epochs: int = 10
    steps: int | None = None
    data_rule: str | None = None
    batch_size: int = 64
    scaling: str = "none"
    learning_rate: float = 1e-3
    schedule: str | dict = "cosine"
    warmup: float | str = 0.1
    optimizer: str | dict = "adamw"
    weight_decay: float = 0.05
    loss: str | dict = "softmax"
    beta_2: float = 0.999
    layer_decay: float | None = None
    rates: dict | None = None
    clipnorm: float | None = 1.0
    ema: float | None = None
    label_smoothing: float = 0.1
    teacher: str | None = None
    distillation: dict | None = None
    sharpness: dict | None = None
    freeze: tuple = ()
    lora: int | None = None
    remat: bool = False
    progressive: tuple = ()
    augment: str = "auto"
    mixup: float | None = None
    cutmix: float = 0.0
    mix_rule: str = "big_vision"
    precision: str | None = None
    monitor: str = "val_top1"
    patience: int | None = None
    after: int = 0
    seed: int = 0
    steps_per_execution: int = 1
    micro_batch: int | None = None
    xla: bool = False
    repeats: int = 1
    cache: bool = False
    on_bad_image: str = "refuse"
    save_minutes: float = 1.0
    loss_limit: float = 1000.0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "steps_per_execution", "repeats"):
            self._check_number(name, numbers.Integral, 1, None)
        self._check_number("seed", numbers.Integral, 0, None)
        self._check_number("learning_rate", numbers.Real, 0, None)
        checks.check_optimisation(self)
        checks.check_learning(self)
        check_choice("scaling", self.scaling, POWERS)
        check_choice("data_rule", self.data_rule, DATA_RULES)
        self._check_number("after", numbers.Integral, 0, self.epochs)
        for name in ("steps", "lora", "patience"):
            if getattr(self, name) is not None:
                self._check_number(name, numbers.Integral, 1, None)
        for name in ("warmup", "layer_decay"):
            if isinstance(getattr(self, name), numbers.Real):
                self._check_number(name, numbers.Real, 0, 1)
        self._check_number("weight_decay", numbers.Real, 0, None)
        self._check_number("beta_2", numbers.Real, 0, 1)
        self._check_number("label_smoothing", numbers.Real, 0, 1)
        if self.clipnorm is not None:
            self._check_number("clipnorm", numbers.Real, 0, None)
        if self.ema is not None:
            self._check_number("ema", numbers.Real, 0, 1)
        self._check_number("save_minutes", numbers.Real, 0, None)
        if self.micro_batch is not None:
            self._check_number("micro_batch", numbers.Integral, 1, None)
        check_choice("xla", self.xla, (False, True))
        self._check_number("loss_limit", numbers.Real, 0, None)
        check_choice("cache", self.cache, (False, True))
        check_choice("random_weights", self.random_weights, (False, True))
        check_choice("precision", self.precision, (None, *PRECISIONS))
        check_choice("on_bad_image", self.on_bad_image, ON_BAD_IMAGE)
        check_choice("monitor", self.monitor, tuple(monitors()))
        Mix(self.mixup, self.cutmix, self.mix_rule)
        if self.augment != "auto":
            augmentation.get_preset(self.augment)

    def _check_number(self, name, kind, least, most):
        """A number of the right kind, at least `least` and below `most`."""
        value = getattr(self, name)
        right = isinstance(value, kind) and not isinstance(value, bool)
        if right and value >= least and (most is None or value < most):
            return
        words = "a whole number" if kind is numbers.Integral else "a number"
        below = "" if most is None else f" and below {most}"
        raise ValueError(
            f"{name}: must be {words}, at least {least}{below}, got {value!r}. "
            f"Pass {name}={EXAMPLES.get(name, getattr(Recipe, name))!r}, for example."
        )

    @property
    def own_epochs(self) -> int:
        """Passes of this run, without those before it."""
        return self.epochs - self.after

    def override(self, **changes: Any) -> Self:
        """The same recipe with other values.

        Raises:
            TypeError: for a field that does not exist, with the nearest
                spelling.
        """
        fields = [field.name for field in dataclasses.fields(self)]
        check_names("recipe", changes, fields, TRAINING, beside=OF_FIT)
        if "batch_size" in changes and "learning_rate" not in changes:
            ratio = changes["batch_size"] / self.batch_size
            factor = ratio ** POWERS[changes.get("scaling", self.scaling)]
            changes["learning_rate"] = self.learning_rate * factor
        if changes.keys() & {"epochs", "steps"}:  # who says how long needs no rule
            changes = {"steps": None, "data_rule": None, **changes}
        return dataclasses.replace(self, **changes)
