"""Which instructions a processor has, from what systems tell of it."""

import pytest

from keras_vit.export.processors import native

INTEL = "model name : X\nflags\t\t: sse4_2 avx2 avx512f avx512_vnni amx_int8\n"
PHONE = "Features\t: fp asimd asimdhp asimddp\n"


@pytest.mark.parametrize(
    "text, features",
    [
        (INTEL, ["sse4.2", "avx2", "avx512", "vnni", "amx"]),
        ("flags : sse4_2 avx2 avx_vnni\n", ["sse4.2", "avx2", "vnni"]),
        (PHONE, ["neon", "fp16", "dotprod"]),
        ("flags : \n", []),
    ],
)
def test_features_by_their_names(text, features):
    """x86 and ARM call them differently."""
    assert features == native.known(native.flags_of(text))


def test_a_system_that_does_not_tell():
    """Unknown is not none."""
    assert None is native.flags_of("model name : X\n")


def test_a_mac(monkeypatch, tmp_path):
    """sysctl lists what is there with a 1."""
    said = "hw.optional.neon: 1\nhw.optional.arm.FEAT_DotProd: 1\n"
    said += "hw.optional.arm.FEAT_I8MM: 0\n"
    answer = type("Done", (), {"stdout": said})
    monkeypatch.setattr(native.pathlib, "Path", lambda _: tmp_path / "none")
    monkeypatch.setattr(native.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(native.subprocess, "run", lambda *_, **__: answer)

    assert ["neon", "dotprod"] == native.known(native._flags())
