import json
from datetime import UTC, datetime, timedelta

import pytest

from geoconvnext.errors import ConfigError, OutputError
from geoconvnext.journal import LOCK, RECORD, open_journal

ASKED = {"scene": "a.tif", "scale": "2"}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "b.gpkg"


def interrupt(output, *, asked=ASKED, files=("strip",), chosen=None, overwrite=False):
    """Leave a run by an error after it wrote some files; returns its Journal."""
    kept = []

    def run():
        with open_journal(output, asked, overwrite=overwrite) as journal:
            kept.append(journal)
            if chosen is not None:
                journal.choose(chosen)
            for name in files:
                (journal.folder / name).write_text("work")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    return kept[0]


def age(output, started="2001-02-03T04:05:06+00:00"):
    """Make an interrupted run look older."""
    path = output.with_name(f".{output.name}.partial") / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": started}))
    return started


def test_the_folder_is_gone_after_success(output, tmp_path, listing):
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert listing(tmp_path) == [".b.gpkg.partial", ".b.gpkg.partial/lock", ".b.gpkg.partial/run.json"]
        assert not journal.has_work
        (journal.folder / "strip").write_text("work")
        assert journal.has_work
        assert abs(datetime.fromisoformat(journal.started) - datetime.now(UTC)) < timedelta(minutes=1)
    assert not listing(tmp_path)


def test_an_error_before_any_work_leaves_nothing(tmp_path, listing):
    (tmp_path / "old").mkdir()
    interrupt(tmp_path / "old" / "new" / "newer" / "b.gpkg", files=())
    assert listing(tmp_path) == ["old"]


def test_folders_that_others_use_stay(tmp_path, listing):
    def run():
        with open_journal(tmp_path / "new" / "newer" / "b.gpkg", ASKED, overwrite=False):
            (tmp_path / "new" / "theirs").touch()
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert listing(tmp_path) == ["new", "new/theirs"]


def test_work_stays_and_the_next_run_goes_on(output, tmp_path, listing):
    interrupt(output)
    started = age(output)
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert (journal.folder / "strip").read_text() == "work"
        assert journal.started == started
        assert journal.asked == ASKED
    assert not listing(tmp_path)


def test_work_stays_after_several_interruptions(output):
    interrupt(output)
    started = age(output)
    interrupt(output, files=())
    assert interrupt(output, files=("another",)).started == started
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert {path.name for path in journal.folder.iterdir()} == {LOCK, RECORD, "strip", "another"}


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        ({"scene": "a.tif", "scale": "4"}, "scale was 2, is 4"),
        ({"scene": "a.tif"}, "scale was 2, is None"),
        (ASKED | {"aoi": "c.gpkg"}, "aoi was None, is c.gpkg"),
        ({"scene": "d.tif", "scale": "1"}, "scale was 2, is 1; scene was a.tif, is d.tif"),
    ],
)
def test_another_question_is_refused(output, tmp_path, listing, asked, change):
    interrupt(output)
    before = listing(tmp_path)
    with (
        pytest.raises(ConfigError, match=rf"b\.gpkg was asked something else: {change}\. .*--overwrite"),
        open_journal(output, asked, overwrite=False),
    ):
        pass
    assert listing(tmp_path) == before
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert journal.has_work


@pytest.mark.parametrize("asked", [ASKED, {"scene": "d.tif"}])
def test_overwriting_starts_afresh(output, asked):
    interrupt(output, chosen={"tile": 512})
    started = age(output)
    with open_journal(output, asked, overwrite=True) as journal:
        assert not journal.has_work
        assert journal.started != started
        assert journal.chosen() is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"asked": {}}', '{"started": "x"}', "\udcff"])
def test_a_damaged_record_starts_afresh(output, damage):
    journal = interrupt(output)
    (journal.folder / RECORD).write_bytes(damage.encode(errors="surrogateescape"))
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert not journal.has_work
        assert datetime.fromisoformat(journal.started)


def test_choices_come_back(output):
    chosen = {"tile": 512, "halo": 64, "precision": "bf16", "names": ["a", "b"]}
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert journal.chosen() is None
        journal.choose({"tile": 256})
        journal.choose(chosen)
        assert journal.chosen() == chosen


def test_choices_are_kept_for_those_who_go_on(output):
    started = interrupt(output, chosen={"tile": 512}).started
    with open_journal(output, ASKED, overwrite=False) as journal:
        assert journal.chosen() == {"tile": 512}
        assert journal.started == started


def test_runs_of_several_outputs_are_apart(tmp_path):
    interrupt(tmp_path / "a.gpkg")
    with open_journal(tmp_path / "b.gpkg", {"scene": "b.tif"}, overwrite=False) as journal:
        assert not journal.has_work
    with open_journal(tmp_path / "a.gpkg", ASKED, overwrite=False) as journal:
        assert journal.has_work


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_runs_of_one_output_do_not_meet(output, overwrite):
    with open_journal(output, ASKED, overwrite=False) as journal:
        (journal.folder / "strip").write_text("work")
        with (
            pytest.raises(OutputError, match=r"another run works in .*b\.gpkg\.partial; wait"),
            open_journal(output, ASKED, overwrite=overwrite),
        ):
            pass
        assert (journal.folder / "strip").read_text() == "work"


@pytest.mark.parametrize("place", ["b.gpkg", "new/newer/b.gpkg"])
def test_a_full_disk_before_any_work(small_disk, listing, place):
    folder = small_disk(8192)
    (folder / "full").write_bytes(bytes(4096))
    with (
        pytest.raises(OutputError, match="No space left on device; make room"),
        open_journal(folder / place, {"scene": "long name" * 9999}, overwrite=False),
    ):
        pass
    assert listing(folder) == ["full"]


def test_a_full_disk_keeps_the_record(small_disk):
    folder = small_disk(3 * 4096)
    with open_journal(folder / "b.gpkg", ASKED, overwrite=False) as journal:
        journal.choose({"tile": 512})
        with pytest.raises(OutputError, match="No space left on device; make room"):
            journal.choose({"tile": "long name" * 9999})
        assert journal.chosen() == {"tile": 512}
        assert not journal.has_work


def test_a_place_that_takes_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"cannot write .*Not a directory"),
        open_journal(tmp_path / "file" / "b.gpkg", ASKED, overwrite=False),
    ):
        pass
