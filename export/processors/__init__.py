"""Exported files on other processors: emulated, interpreted or compiled for.

`targets` is the table, one row each. `parts` installs what a processor needs in the
cache. `session` opens a file on a processor; `comparison.on_processors` compares its
outputs. Inputs and outputs of a file are the business of `runtime.runtimes`, wherever
it runs.
"""

from keras_vit.export.processors.environment import make_environment
from keras_vit.export.processors.parts import install
from keras_vit.export.processors.session import run
from keras_vit.export.processors.targets import TARGETS, Target, chosen

__all__ = ["TARGETS", "Target", "chosen", "install", "make_environment", "run"]
