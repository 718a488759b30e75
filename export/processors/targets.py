"""Target processors that a file can be run on: one row each."""

import dataclasses

from keras_vit.choices import did_you_mean

NATIVE = "native"  # the machine itself, where every file is run at any rate
EMULATOR, INTERPRETER, COMPILER = "emulator", "interpreter", "compiler"
ARM, X86, MICRO, NPU = "aarch64", "x86_64", "microcontroller", "npu"


@dataclasses.dataclass(frozen=True)
class Target:
    """One target processor, interpreter or compiler.

    Args:
        name: as `on` of `verify` and `--on` name it.
        kind: "emulator" runs the file's own runtime under QEMU; "interpreter" runs
            the file in another runtime; "compiler" compiles it and runs nothing.
        architecture: "aarch64", "x86_64", "microcontroller" or "npu".
        cpu: the processor's name in the tool; "" where there is nothing to choose.
        formats: of the files that it takes.
        parts: what has to be installed for it, see `parts.PARTS`.
        stands_for: one sentence.
    """

    name: str
    kind: str
    architecture: str
    cpu: str
    formats: tuple
    parts: tuple
    stands_for: str


BOTH, ON_ARM = ("tflite", "onnx"), ("qemu", "arm64", "arm64-runtimes")
TFLITE = ("tflite",)
# fmt: off
_ROWS = (
    ("cortex-a53", EMULATOR, ARM, "cortex-a53", BOTH, ON_ARM,
     "Phones until about 2018, Raspberry Pi 3: ARMv8.0, no dot products."),
    ("cortex-a76", EMULATOR, ARM, "cortex-a76", BOTH, ON_ARM,
     "Phones since about 2019, Raspberry Pi 5: ARMv8.2 with dot products."),
    ("haswell", EMULATOR, X86, "Haswell", BOTH, ("qemu",),
     "x86 with AVX2 and no VNNI: Intel until about 2019, AMD until Zen 3."),
    ("nehalem", EMULATOR, X86, "Nehalem", BOTH, ("qemu",),
     "x86 of before 2011: SSE4.2 and no AVX."),
    ("tflite-micro", INTERPRETER, MICRO, "", TFLITE, ("tflite-micro",),
     "Microcontrollers: the interpreter of TensorFlow Lite Micro."),
    ("ethos-u55", COMPILER, NPU, "ethos-u55-256", TFLITE, ("vela",),
     "Arm's NPU Ethos-U55, by its compiler Vela."),
    ("ethos-u65", COMPILER, NPU, "ethos-u65-256", TFLITE, ("vela",),
     "Arm's NPU Ethos-U65, by its compiler Vela."),
    ("ethos-u85", COMPILER, NPU, "ethos-u85-256", TFLITE, ("vela",),
     "Arm's NPU Ethos-U85, by its compiler Vela."),
)
# fmt: on
TARGETS = {row[0]: Target(*row) for row in _ROWS}


def chosen(names):
    """Find the rows of the names given.

    Args:
        names: one name, or a list; None for none.

    Returns:
        list of `Target`, each once, in the order of the names; "native" is none.

    Raises:
        ValueError: for a name that is not in the table.

    >>> [target.name for target in chosen("haswell")]
    ['haswell']
    """
    names = [names] if isinstance(names, str) else list(names or ())
    known = (NATIVE, *TARGETS)
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise ValueError(
                f"on: no processor {name!r}.{near} Known: {', '.join(known)}."
            )
    return [TARGETS[name] for name in dict.fromkeys(names) if name != NATIVE]
