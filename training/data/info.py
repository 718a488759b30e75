"""What a loaded data set tells about itself."""

import dataclasses

from keras_vit.preprocess import Preprocessing


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """Facts about a data set, for whoever builds a model or writes a report.

    Args:
        source: as it was asked for, "digits" or "folder:photos".
        class_names: K names, in label order.
        counts: images per split; without the bad ones in the splits that were
            loaded.
        preprocessing: `keras_vit.Preprocessing` that the images went through.
        channels: C of the images.
        augment: name of the augmentation of the training split.
        skipped: paths of images that are left out: they cannot be read, or have no
            class.
        replaced: names of images that could not be decoded while training; grows.
        test_split: the split for the final score: "test" where there is one,
            else "validation".
        notes: sentences on what was decided and left out, such as how a folder without
            splits was split.
    """

    source: str
    class_names: tuple
    counts: dict
    preprocessing: Preprocessing
    channels: int
    augment: str
    skipped: tuple = ()
    replaced: list = dataclasses.field(default_factory=list)
    test_split: str = "test"
    notes: tuple = ()

    @property
    def classes(self) -> int:
        """K, number of classes."""
        return len(self.class_names)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) px of the images in a batch."""
        return self.preprocessing.image_size
