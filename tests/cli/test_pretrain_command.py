import pytest
import typer
import yaml
from typer.testing import CliRunner

import geoconvnext.pretrain as module
from geoconvnext.cli import pretrain as verb
from geoconvnext.config import PretrainConfig
from geoconvnext.errors import ConfigError, SceneError


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "scenes").mkdir()
    return {"output": str(tmp_path / "run"), "scenes": [str(tmp_path / "scenes"), str(tmp_path / "one.tif")]}


@pytest.fixture
def command(tmp_path, settings):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb.pretrain)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return lambda *arguments: CliRunner().invoke(app, [str(tmp_path / "config.yaml"), *arguments])


@pytest.mark.parametrize("arguments", [[], ["--resume"]])
def test_the_scenes_of_the_configuration_are_used(tmp_path, settings, command, monkeypatch, arguments):
    seen = {}
    (tmp_path / "scenes" / "two.tif").touch()

    def run(config, scenes, *, resume):
        seen.update(config=config, scenes=scenes, resume=resume)
        return config.output / "encoder.safetensors"

    monkeypatch.setattr(module, "pretrain", run)
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    assert seen == {
        "config": PretrainConfig.model_validate(settings),
        "scenes": [str(tmp_path / "scenes" / "two.tif"), str(tmp_path / "one.tif")],
        "resume": bool(arguments),
    }
    assert f"{settings['output']}/encoder.safetensors" in result.output.replace("\n", "")


def test_a_folder_without_scenes(command):
    assert isinstance(command().exception, SceneError)


def test_a_run_is_not_overwritten(tmp_path, command):
    (tmp_path / "scenes" / "two.tif").touch()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    result = command()
    assert isinstance(result.exception, ConfigError)
    assert "--resume" in str(result.exception)
