"""Exported files on other processors: emulated, interpreted or compiled for.

`targets` is the table, one row each. `parts` says what has to be installed, and
installs it in the cache. `session` opens a file on a processor; `judging` compares what
it answers. What a processor is does not belong to a format's room: `runtimes` says what
goes in and comes out of a file wherever it runs.
"""

from keras_vit.export.processors.environment import make_environment
from keras_vit.export.processors.parts import install
from keras_vit.export.processors.session import run
from keras_vit.export.processors.targets import TARGETS, Target, chosen

__all__ = ["TARGETS", "Target", "chosen", "install", "make_environment", "run"]
