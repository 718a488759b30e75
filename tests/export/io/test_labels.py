"""Labels and metadata inside a `.tflite` file, and where its bytes lie."""

import pytest

from keras_vit import export
from keras_vit.export.formats.tflite import metadata

LABELS = {
    "few": (["a"] * 4, ValueError, "must name 5 classes, got 4 names. Pass one"),
    "empty": (["a", "b", " ", "d", "e"], ValueError, "not be empty.*class 2. Give"),
    "dict": (dict(enumerate("abcde")), TypeError, "got a dict. .*pass .labels.i. for"),
    "set": (set("abcde"), TypeError, "order of the model's outputs, got a set"),
    "string": ("abcde", TypeError, "list of class names, got 'abcde'. Read"),
}


@pytest.mark.parametrize("name", LABELS)
def test_wrong_labels_are_refused_first(name, model, never, tmp_path):
    """One name per class, before anything slow."""
    labels, kind, message = LABELS[name]

    with pytest.raises(kind, match=f"labels: .*{message}"):
        export.to_tflite(model, tmp_path / "m.tflite", labels=labels)
    assert [] == list(tmp_path.iterdir())


def test_labels_of_features(tiny, never, tmp_path):
    """Features have no classes to name."""
    model = tiny(include_top=False)

    with pytest.raises(ValueError, match="labels: .*gives scores.*features.*Leave"):
        export.to_tflite(model, tmp_path / "m.tflite", labels=["a"])


def test_labels_travel_in_the_file(model, exported, converted, tmp_path):
    """The model's own by default, others on request; line breaks do not split them."""
    names = ["one\ntwo", "b", "c", "d", "é"]
    path = export.to_tflite(model, tmp_path / "m.tflite", labels=names, verbose=0).path

    assert model.labels == metadata.read_labels(exported["tflite"].path)
    assert model.labels == metadata.read_labels(exported["int8"].path)
    assert ["one two", "b", "c", "d", "é"] == metadata.read_labels(path)
    again = export.to_tflite(model, tmp_path / "n.tflite", labels=names, verbose=0).path
    assert path.read_bytes() == again.read_bytes()


def test_buffers_lie_where_the_schema_wants_them(exported):
    """Every weight starts at a multiple of 16 bytes."""
    from ai_edge_litert import schema_py_generated as schema

    content = exported["int8"].path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]

    assert len(starts) > 10
    assert {0} == {start % 16 for start in starts}
