import errno

import pytest

from geoconvnext.errors import OutputError
from geoconvnext.output import check_file, check_places, draft, scratch_folder


def test_a_draft_moves_into_place(tmp_path, listing):
    path = tmp_path / "new" / "folder" / "a.txt"
    with draft(path) as part:
        part.write_text("done")
        assert not path.exists()
    assert path.read_text() == "done"
    assert listing(tmp_path) == ["new", "new/folder", "new/folder/a.txt"]


FULL = OSError(errno.ENOSPC, "No space left on device")


def write_half(path, error):
    with draft(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, FULL])
def test_an_error_leaves_nothing_behind(tmp_path, listing, error):
    with pytest.raises((KeyboardInterrupt, OutputError)):
        write_half(tmp_path / "new" / "b" / "a.txt", error)
    assert not listing(tmp_path)


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt: No space"):
        write_half(tmp_path / "a.txt", FULL)
    assert (tmp_path / "a.txt").read_text() == "old"


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="Not a directory"),
        scratch_folder(tmp_path / "file" / "b" / "a.txt"),
    ):
        pass


def test_checking_leaves_no_trace(tmp_path, listing):
    check_file(tmp_path / "new" / "a.PNG", (".png",))
    assert not listing(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for bad, reason in [
        ("a.gif", "must end in .png"),
        ("folder.png", "folder"),
        ("file/b/a.png", "takes no files"),
    ]:
        with pytest.raises(OutputError, match=reason):
            check_file(tmp_path / bad, (".png",))


def test_results_may_not_replace_what_is_read(tmp_path):
    for path in (tmp_path / "a.gpkg", str(tmp_path / "a.gpkg")):
        with pytest.raises(OutputError, match="would replace what is read"):
            check_places(["c.tif", path], [tmp_path / "b.gpkg", tmp_path / "b" / ".." / "a.gpkg"])
    (tmp_path / "link.gpkg").symlink_to(tmp_path / "a.gpkg")
    with pytest.raises(OutputError, match=r"link\.gpkg would replace"):
        check_places([tmp_path / "a.gpkg"], [tmp_path / "link.gpkg"])


def test_results_may_not_replace_each_other(tmp_path):
    with pytest.raises(OutputError, match="several results"):
        check_places(["c.tif"], [tmp_path / "a.tif", tmp_path / "b" / ".." / "a.tif"])
    check_places(["a.tif", "https://example.org/b.tif"], [tmp_path / "a.tif", tmp_path / "b.tif"])
