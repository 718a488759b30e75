"""The suite stays fast: no unmarked test may take long."""

import pathlib

import pytest


@pytest.fixture
def suite(request):
    """The conftest.py of all tests."""
    path = pathlib.Path(__file__).resolve().parents[1] / "conftest.py"
    return request.config.pluginmanager.get_plugin(str(path))


def test_a_test_that_takes_long_is_told_what_to_do(suite):
    """Its time, the limit and the ways out; slow ones may take as long as they like."""
    limit = suite.SLOWEST_CPU_S

    assert suite.over_budget(limit, {}) is None
    assert suite.over_budget(10 * limit, {"slow": 1}) is None
    said = suite.over_budget(limit + 5.0, {})
    assert f"{limit:.0f} CPU s or less, took {limit + 5:.0f}. Use a smaller" in said


def test_time_of_other_processes_counts(suite, monkeypatch):
    """A test cannot hide behind a process that it waits for."""
    own = suite.cpu_seconds()
    used = type("Used", (), {"ru_utime": 1000.0, "ru_stime": 500.0})
    with monkeypatch.context() as patch:
        patch.setattr(suite.resource, "getrusage", lambda who: used)
        found = suite.cpu_seconds()

    assert 1500.0 <= found < 1500.0 + own + 5.0
