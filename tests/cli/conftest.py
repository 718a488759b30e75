"""The command, for every test of this room."""

import pytest

from keras_vit import cli


@pytest.fixture
def run(capsys):
    """Call the command; gives (exit code, standard output, standard error)."""

    def call(*words):
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return call
