import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from geoconvnext.training.logs import metrics_path, open_loggers, read_curves


def write(output, steps, *, first_step=0):
    loggers = open_loggers(output, first_step=first_step)
    for step in steps:
        for logger in loggers:
            logger.log_metrics({"train/loss": 1 / step}, step)
            if step % 2 == 0:
                logger.log_metrics({"val/iou": step / 10}, step)
    loggers[1].finalize("success")


def test_curves_are_what_was_logged(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    curves = read_curves(tmp_path)
    assert curves.keys() == {"train/loss", "val/iou"}
    assert curves["train/loss"].steps == [1, 2, 3, 4]
    assert curves["train/loss"].values == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert (curves["val/iou"].steps, curves["val/iou"].values) == ([2, 4], [0.2, 0.4])


def test_no_log_has_no_curves(tmp_path):
    assert read_curves(tmp_path) == {}


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_a_resumed_run_goes_on_in_the_same_logs(tmp_path):
    write(tmp_path / "whole", range(1, 9))
    write(tmp_path / "parts", range(1, 7))  # killed after step 6, saved after step 4
    write(tmp_path / "parts", range(5, 9), first_step=4)
    assert read_curves(tmp_path / "parts") == read_curves(tmp_path / "whole")
    board = EventAccumulator(str(metrics_path(tmp_path / "parts").parent)).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == list(range(1, 9))


def test_a_row_cut_by_a_kill_is_dropped(tmp_path):
    write(tmp_path, [1, 2])
    path = metrics_path(tmp_path)
    path.write_text(path.read_text() + "3,0.33")
    assert read_curves(tmp_path)["train/loss"].steps == [1, 2]


def test_undefined_scores_stay_undefined(tmp_path):
    table, _ = open_loggers(tmp_path, first_step=0)
    table.log_metrics({"val/iou": float("nan")}, 1)
    (value,) = read_curves(tmp_path)["val/iou"].values
    assert value != value  # noqa: PLR0124
