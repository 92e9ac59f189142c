from dataclasses import replace

import pytest

from geoconvnext.cli.main import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `geoconvnext ...` in this process; returns exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["geoconvnext", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def stub(monkeypatch, brightness):
    """Let `geoconvnext predict` run the brightness network instead of any weights."""

    def load(_weights, _placement, *, precision, tta, **rules):
        model = brightness(**{name: value for name, value in rules.items() if value is not None})
        return replace(model, precision=precision, tta=tta)

    monkeypatch.setattr("geoconvnext.inference.load_model", load)
