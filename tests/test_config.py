from pathlib import Path

import pytest
import yaml

from geoconvnext.config import TrainConfig, read_config, read_pretrain_config
from geoconvnext.errors import ConfigError
from geoconvnext.model.losses import LossWeights
from geoconvnext.model.net import NetSpec

FOLDER = Path(__file__).parents[1] / "configs"
PRETRAINING = FOLDER / "pretrain.yaml"
CONFIGS = sorted(set(FOLDER.glob("*.yaml")) - {PRETRAINING})
SMALLEST = {"output": "runs/x", "data": {"train": [{"path": "tiles/a"}], "val": ["tiles/b"]}}


@pytest.fixture
def write(tmp_path):
    def to_file(content):
        path = tmp_path / "config.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return to_file


def changed(dotted, value):
    """The smallest configuration with one more key."""
    config = yaml.safe_load(yaml.safe_dump(SMALLEST))
    *sections, key = dotted.split(".")
    section = config
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = value
    return config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configurations_are_valid(path):
    config = read_config(path)
    NetSpec(**config.net.model_dump(exclude={"encoder_weights", "start_from"}, exclude_none=True))
    LossWeights(**config.loss.model_dump())


def test_the_shipped_configuration_of_pretraining_is_valid():
    assert read_pretrain_config(PRETRAINING).scenes == ["scenes"]


def test_there_are_shipped_configurations():
    assert {path.name for path in CONFIGS} >= {"small.yaml", "base.yaml", "large.yaml", "finetune.yaml"}


def test_the_smallest_configuration(write):
    config = read_config(write(SMALLEST))
    assert config.data.train[0].path == Path("tiles/a")
    assert config.data.train[0].share == 1.0
    assert config.net == TrainConfig.model_validate(SMALLEST).net


@pytest.mark.parametrize(
    ("dotted", "value", "complaint"),
    [
        ("optimizer", {}, "  optimizer: unknown key"),
        ("net.encodr", "convnext_pico", "  net.encodr: unknown key"),
        ("data.train", [{"path": "a", "weight": 2}], r"  data.train.0.weight: unknown key"),
        ("optim.steps", "many", "  optim.steps: .*integer.*; found 'many'"),
        ("optim.steps", 0, "  optim.steps: .*; found 0"),
        ("optim.learning_rate", None, "  optim.learning_rate: .*number; found None"),
        ("net.scale", 3, "  net.scale: .*1, 2 or 4; found 3"),
        ("net.decoder", "unet", "  net.decoder: .*'fpn' or 'upernet'; found 'unet'"),
        ("precision", "fp8", "  precision: .*; found 'fp8'"),
        ("data.val", [], "  data.val: .*at least 1"),
        ("data.samples", [{"scale": 2, "size": 100}], "  data.samples.0.size: .*multiple of 32; found 100"),
        ("data.samples", [{"scale": 3}], "  data.samples.0.scale: .*1, 2 or 4; found 3"),
        (
            "data.samples",
            [{"scale": 2, "gsd_range_m": [0.5, 0.3]}],
            "  data.samples.0: gsd_range_m must",
        ),
        ("data.samples", [{"scale": 2, "gsd_range_m": [0.3]}], "  data.samples.0.gsd_range_m"),
        ("data.train", [{"share": 1.0}], r"  data.train.0.path: missing"),
        ("data.train", [{"path": "a", "share": 0}], r"  data.train.0.share: .*greater than 0; found 0"),
    ],
)
def test_what_is_wrong_is_named(write, dotted, value, complaint):
    path = write(changed(dotted, value))
    with pytest.raises(ConfigError, match=f"configuration {path} is not valid:\n{complaint}"):
        read_config(path)


def test_every_mistake_is_named_at_once(write):
    wrong = {**changed("optim.steps", -1), "sead": 3}
    del wrong["output"]
    with pytest.raises(ConfigError) as error:
        read_config(write(wrong))
    assert str(error.value).splitlines()[1:] == [
        "  output: missing",
        "  optim.steps: Input should be greater than or equal to 1; found -1",
        "  sead: unknown key",
    ]


def test_two_starts(write):
    wrong = changed("net.encoder_weights", "a.pth")
    wrong["net"]["start_from"] = "b.safetensors"
    with pytest.raises(ConfigError, match=r"net: give encoder_weights .* or start_from .*, not both"):
        read_config(write(wrong))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "just words", "- a\n- b\n"])
def test_a_file_without_keys(write, text):
    with pytest.raises(ConfigError, match=r"has no keys; configs/small\.yaml shows them all"):
        read_config(write(text))


def test_not_yaml(write):
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(write("output: [unclosed\nnet: }"))


def test_not_text(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="cannot read configuration"):
        read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_missing_file_or_folder(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot read configuration"):
        read_config(tmp_path / name)


def test_numbers_in_scientific_notation(write):
    text = yaml.safe_dump(SMALLEST) + "optim: {learning_rate: 1e-3}\n"
    assert read_config(write(text)).optim.learning_rate == 0.001
