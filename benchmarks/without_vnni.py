"""Run a Python command on an x86 processor as if it had AVX2 and nothing newer.

python benchmarks/without_vnni.py benchmarks/quantization.py ti16.keras --rows ONNX ...

onnxruntime and LiteRT choose their kernels by the instruction CPUID. This runs the
command under gdb and hides AVX-512, VNNI and AMX from every CPUID of their libraries,
so that they take the kernels of an older processor, at the speed of this one. Emulation
(`keras-vit verify --on haswell`) is the proof; this is for many images and for times.
Needs gdb and objdump: `apt install gdb binutils`.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

LIBRARIES = re.compile(r"onnxruntime|ai_edge_litert")
CPUID = re.compile(r"^\s*([0-9a-f]+):\s+cpuid", re.MULTILINE)
# Bits of leaf 7 that tell of AVX-512, VNNI and AMX; Intel's manual, volume 2A, CPUID.
AVX512 = {
    "ebx": (16, 17, 21, 26, 27, 28, 30, 31),
    "ecx": (1, 6, 11, 12, 14),
    "edx": (2, 3, 8, 22, 23, 24, 25),
}
# (leaf, subleaf) -> register -> mask of what is kept.
HIDDEN = {
    (7, 0): {name: ~sum(1 << bit for bit in bits) for name, bits in AVX512.items()},
    (7, 1): {"eax": 0, "ebx": 0, "ecx": 0, "edx": 0},
}


def hide_features():
    """Inside gdb: put breakpoints around every CPUID of libraries as they load."""
    import gdb

    asked = {}

    class Before(gdb.Breakpoint):
        def stop(self):
            read = gdb.parse_and_eval
            leaf = tuple(int(read(f"(unsigned int)${r}")) for r in ("eax", "ecx"))
            asked[gdb.selected_thread().num] = leaf
            return False

    class After(gdb.Breakpoint):
        def stop(self):
            leaf = asked.pop(gdb.selected_thread().num, None)
            for register, kept in HIDDEN.get(leaf, {}).items():
                value = int(gdb.parse_and_eval(f"(unsigned int)${register}"))
                gdb.parse_and_eval(f"$r{register[1:]} = {value & kept & 0xFFFFFFFF}")
            return False

    def watch(event):
        path = event.new_objfile.filename
        if not LIBRARIES.search(path) or not pathlib.Path(path).is_file():
            return
        sections = gdb.execute("info files", to_string=True)
        pattern = rf"(0x[0-9a-f]+) - 0x[0-9a-f]+ is \.text in {re.escape(path)}"
        start = re.search(pattern, sections)
        if start is None:
            return
        offset = int(start[1], 16) - _text(path)
        for address in instructions(path):
            Before(f"*{offset + address:#x}", internal=True)
            After(f"*{offset + address + 2:#x}", internal=True)

    gdb.events.new_objfile.connect(watch)


def instructions(path):
    """Addresses of every CPUID in a library."""
    command = ["objdump", "-d", "--no-show-raw-insn", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(found, 16) for found in CPUID.findall(text)]


def _text(path):
    """Address of the section .text in a library."""
    command = ["objdump", "-h", "-j", ".text", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\.text\s+\S+\s+(\S+)", text)[1], 16)


def main():
    """Start gdb on this Python with the command that was given."""
    missing = [name for name in ("gdb", "objdump") if shutil.which(name) is None]
    if missing or len(sys.argv) < 2:
        sys.exit(__doc__ if not missing else f"{missing[0]} is missing: apt install it")
    commands = ["set pagination off", "set confirm off", f"source {__file__}", "run"]
    options = [part for text in commands for part in ("-ex", text)]
    shown = ["-ex", "python import sys; gdb.execute(f'quit $_exitcode')"]
    command = ["gdb", "-q", "-batch", *options, *shown, "--args", sys.executable]
    environment = os.environ | {
        "PYTHONPATH": os.getcwd(),
        "HIDDEN_FEATURES": "avx512 vnni amx",
    }
    sys.exit(subprocess.call([*command, *sys.argv[1:]], env=environment))


if __name__ == "__main__":
    try:
        import gdb  # noqa: F401
    except ImportError:
        main()
    else:
        hide_features()
