import pytest
import typer
import yaml
from typer.testing import CliRunner

import geoconvnext.train as module
from geoconvnext.cli import train as verb
from geoconvnext.config import TrainConfig
from geoconvnext.errors import ConfigError


@pytest.fixture
def settings(tmp_path):
    tiles = str(tmp_path / "tiles")
    return {"output": str(tmp_path / "run"), "data": {"train": [{"path": tiles}], "val": [tiles]}}


@pytest.fixture
def command(tmp_path, settings):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb.train)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return lambda *arguments: CliRunner().invoke(app, [str(tmp_path / "config.yaml"), *arguments])


@pytest.mark.parametrize("arguments", [[], ["--resume"]])
def test_the_configuration_is_trained(settings, command, monkeypatch, arguments):
    seen = {}

    def run(config, *, resume):
        seen["config"], seen["resume"] = config, resume
        return config.output / "model.safetensors"

    monkeypatch.setattr(module, "train", run)
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    assert seen == {"config": TrainConfig.model_validate(settings), "resume": bool(arguments)}


def test_a_run_is_not_overwritten(tmp_path, command):
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    result = command()
    assert isinstance(result.exception, ConfigError)
    assert "--resume" in str(result.exception)
