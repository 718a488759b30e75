"""Provenance of a file: package versions and the machine."""

import importlib.metadata
import os
import pathlib
import platform

import keras_vit

PACKAGES = (
    "keras",
    "tensorflow",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "onnx",
    "onnxruntime",
    "numpy",
)


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions():
    """Versions of the packages that made the files."""
    installed = {name: _version(name) for name in PACKAGES}
    return {
        "keras_vit": keras_vit.__version__,
        "python": platform.python_version(),
        **{name: value for name, value in installed.items() if value},
    }


def machine():
    """Description of the machine that the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def _processor():
    """The processor's name by the system."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
