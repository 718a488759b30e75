"""What the report shows of the images and of the training."""

from keras_vit.export.report import history
from keras_vit.export.report.gallery_choice import BalancedSample


def test_images_are_spread_over_the_classes():
    """One of each class before a second; of many classes, those far apart."""
    few, many = BalancedSample(8, 5), BalancedSample(4, 1000)
    for number in range(100):
        few.add(number // 20, number)  # sorted by class, as folders are
    for number in range(1000):
        many.add(number, number)

    taken = few.take(8)
    assert [0, 0, 1, 2, 2, 3, 4, 4] == sorted(group for group, _ in taken)
    assert [0, 1, 20, 40, 41, 60, 80, 81] == sorted(row for _, row in taken)
    assert [1, 2, 3] == [group for group, _ in few.take(3, shown=[0, 4])]
    assert [0, 256, 512, 768] == [row for _, row in many.take(4)]


def test_the_log_of_a_run_is_found(tmp_path):
    """Beside the models that a run writes, and beside no others; or why not."""
    log = tmp_path / "history.csv"
    log.write_text("epoch,loss\n1,2.0\n")
    for name in ("best.keras", "last.keras", "mine.keras"):
        (tmp_path / name).touch()

    assert (log, "") == history.beside(tmp_path / "last.keras")
    assert (log, "") == history.beside(tmp_path)
    assert (None, "") == history.beside(tmp_path / "mine.keras")
    log.write_text("epoch,loss\n")
    found, why = history.beside(tmp_path)
    assert found is None and "at least one epoch" in why
    assert {} == history.read_history(False) and None is history.source_of({"a": [1]})
