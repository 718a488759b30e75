"""Name, architecture and instruction sets of this machine's processor."""

import pathlib
import platform
import subprocess

from keras_vit.export.runtime.provenance import machine

# What decides how a file is computed: our name -> names that systems give it.
FEATURES = {
    "sse4.2": ("sse4_2",),
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "amx": ("amx_int8",),
    "neon": ("asimd", "hw.optional.neon", "hw.optional.AdvSIMD"),
    "fp16": ("asimdhp", "hw.optional.arm.FEAT_FP16"),
    "dotprod": ("asimddp", "hw.optional.arm.FEAT_DotProd"),
    "i8mm": ("i8mm", "hw.optional.arm.FEAT_I8MM"),
    "sve": ("sve",),
}


def native():
    """Detect this machine's processor: {"name", "architecture", "features"}.

    `features` is None where the system does not tell.
    """
    facts, flags = machine(), _flags()
    return {
        "name": facts["processor"],
        "architecture": facts["architecture"],
        "features": None if flags is None else known(flags),
    }


def described(hidden=()):
    """Describe this machine's processor by name and features.

    Args:
        hidden: names of features that a runtime does not get to see.
    """
    facts = native()
    seen = [name for name in facts["features"] or () if name not in hidden]
    told = f"{facts['name']} ({', '.join(seen) or 'features unknown'})"
    return told + (f", {', '.join(hidden)} hidden" if hidden else "")


def known(flags):
    """Map a system's flags to the instruction sets that matter here.

    >>> known({"avx2", "fma", "avx_vnni"})
    ['avx2', 'vnni']
    """
    return [ours for ours, theirs in FEATURES.items() if flags.intersection(theirs)]


def _flags():
    """Instruction flags as the system names them, or None."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        return flags_of(cpuinfo.read_text(errors="replace"))
    if platform.system() != "Darwin":
        return None
    words = ["sysctl", "hw.optional"]
    try:
        said = subprocess.run(words, capture_output=True, text=True).stdout
    except OSError:
        return None
    pairs = (line.partition(":") for line in said.splitlines())
    return {name for name, _, value in pairs if value.strip() == "1"}


def flags_of(cpuinfo):
    """Parse the flags of /proc/cpuinfo, of x86 or ARM; None without any.

    >>> sorted(flags_of("processor : 0\\nFeatures : fp asimddp\\n"))
    ['asimddp', 'fp']
    """
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return None
