import base64
import math
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from geoconvnext.errors import OutputError
from geoconvnext.training.pictures import Panel
from geoconvnext.training.report import write_report
from geoconvnext.training.report_data import Curve, ReportData, ValidationSet
from geoconvnext.training.report_plots import line_styles

DASH = "\N{EN DASH}"
LEVELS = np.arange(255)
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Tables, pictures, headings and references of a page; complains about tags that do not pair up."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.images, self.texts, self.tags = [], [], [], {}, []
        self.references = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.references += [values[name] for name in ("src", "href", "srcset", "data") if name in values]
        if tag == "img":
            self.images.append(values)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data.strip())
        if self.open and self.open[-1] in {"td", "th"}:
            self.tables[-1][-1][-1] += data

    def table(self, title):
        """Rows by their name, as a dict of columns, of the table that has this column."""
        (found,) = [table for table in self.tables if title in table[0]]
        head, *rows = found
        return {name: dict(zip(head[1:], cells, strict=True)) for name, *cells in rows}


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def decode(image):
    """The content of an embedded picture: an XML root, or pixels."""
    head, _, content = image["src"].partition(";base64,")
    raw = base64.b64decode(content, validate=True)
    if head == "data:image/svg+xml":
        return ET.fromstring(raw)
    assert head in {"data:image/png", "data:image/jpeg"}
    return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)


def validation_set(name, seed=0, *, buildings=True):
    """Pixels whose probabilities are somewhat right; the scores are anything."""
    rng = np.random.default_rng(seed)
    building = rng.integers(0, 50, 255) + LEVELS if buildings else np.zeros(255, np.int64)
    background = rng.integers(0, 50, 255) + 3 * LEVELS[::-1]
    scores = {"IoU": 0.5 + seed / 100, "F1": 0.6} if buildings else {"IoU": math.nan, "F1": math.nan}
    return ValidationSet(name, scores, building, background)


def panel(name, iou):
    noise = np.random.default_rng(1).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    return Panel(name, np.moveaxis(noise, 0, -1).copy(), noise[0], noise[1], iou)


def whole_report(**changes):
    steps = np.arange(0, 1000, 10)
    values = {
        "title": "Roofs of <Rio> & Zanzibar",
        "settings": {"seed": "7", "optim.learning_rate": "0.002", "data.train": "<a> & b"},
        "training_data": {"synth": "380 tiles, MIT"},
        "loss": {"loss": Curve(steps, 2 / (steps + 1)), "body": Curve(steps, 1 / (steps + 1))},
        "learning_rate": Curve(steps, steps * 1e-6),
        "validation": {"IoU": {"rio": Curve([100, 200, 300], [0.2, math.nan, 0.4])}},
        "sets": [validation_set("rio", 1), validation_set("forest", 2, buildings=False)],
        "best": [panel("rio / best", 0.9)],
        "worst": [panel("rio / <worst>", 0.1), panel("forest / empty", math.nan)],
    }
    return ReportData(**{**values, **changes})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report of everything."""
    path = tmp_path_factory.mktemp("run") / "new" / "report.html"
    write_report(path, whole_report())
    return path


def test_page_is_whole_and_needs_nothing_else(path):
    page = read(path)
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(reference.startswith("data:image/") for reference in page.references)
    assert "@import" not in path.read_text()
    assert "url(" not in path.read_text()
    assert page.texts["h2"] == [
        "How good it is",
        "How it learned",
        "Thresholds and probabilities",
        "Worst tiles",
        "Best tiles",
        "Training data",
        "Configuration",
    ]


def test_names_are_escaped(path):
    page = read(path)
    assert page.texts["h1"] == page.texts["title"] == ["Roofs of <Rio> & Zanzibar"]
    assert "rio / <worst>" in page.texts["h3"]
    assert "<a> & b" in page.texts["td"]
    assert not {"rio", "worst", "a"} & set(page.tags)


def test_pictures_decode(path):
    plots, tiles = [], []
    for image in read(path).images:
        assert image["alt"]
        (plots if "svg" in image["src"][:20] else tiles).append(decode(image))
    assert len(plots) == 5  # loss, parts, IoU, precision and recall, reliability
    assert all(root.tag.endswith("svg") for root in plots)
    assert len(tiles) == 3 * 3
    assert all(pixels.shape == (320, 320, 3) and pixels.std() > 10 for pixels in tiles)


def test_scores_and_their_mean(tmp_path):
    sets = [validation_set("a", 10), validation_set("b", 20), validation_set("forest", 3, buildings=False)]
    write_report(tmp_path / "report.html", ReportData(title="scores", sets=sets))
    rows = read(tmp_path / "report.html").table("million pixels")
    assert [row["IoU"] for row in rows.values()] == ["0.600", "0.700", DASH, "0.650"]
    assert rows["forest"]["building"] == "0.0%"
    share = sets[0].building.sum() / (sets[0].building.sum() + sets[0].background.sum())
    assert rows["a"]["building"] == f"{100 * share:.1f}%"


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_thresholds_and_calibration_by_hand(tmp_path, threshold):
    """Every pixel written out, every threshold tried: the table has the numbers that this gives."""
    item = validation_set("rio", 1)
    write_report(tmp_path / "report.html", ReportData(title="x", sets=[item], threshold=threshold))
    row = read(tmp_path / "report.html").table("best threshold")["rio"]

    stated = np.concatenate([np.repeat(LEVELS, item.building), np.repeat(LEVELS, item.background)]) / 254
    truth = np.arange(len(stated)) < item.building.sum()
    ious = [(truth & (stated >= t)).sum() / (truth | (stated >= t)).sum() for t in LEVELS / 254]
    chosen = (truth & (stated >= threshold)).sum() / (truth | (stated >= threshold)).sum()
    assert row[f"IoU at {threshold:.2f}"] == f"{chosen:.3f}"
    assert row["IoU there"] == f"{max(ious):.3f}"
    assert row["best threshold"] == f"{np.argmax(ious) / 254:.2f}"
    assert row["Brier score"] == f"{((stated - truth) ** 2).mean():.3f}"
    in_bin = [np.minimum(stated * 20, 19).astype(int) == k for k in range(20)]
    gaps = [abs(stated[inside].mean() - truth[inside].mean()) * inside.mean() for inside in in_bin]
    assert row["ECE"] == f"{sum(gaps):.3f}"


def test_a_set_without_buildings_has_dashes_but_a_calibration(path):
    row = read(path).table("best threshold")["forest"]
    background = whole_report().sets[1].background
    brier = (background * (LEVELS / 254) ** 2).sum() / background.sum()
    assert row.pop("Brier score") == f"{brier:.3f}"
    assert row.pop("ECE") == f"{(background * LEVELS / 254).sum() / background.sum():.3f}"
    assert set(row.values()) == {DASH}


def test_settings_are_grouped(path):
    tables = read(path).tables
    assert [["run"], ["seed", "7"]] in tables
    assert [["optim"], ["learning_rate", "0.002"]] in tables


def test_a_title_is_enough(tmp_path):
    write_report(tmp_path / "report.html", ReportData(title="nothing yet"))
    page = read(tmp_path / "report.html")
    assert page.texts["h1"] == ["nothing yet"]
    assert "h2" not in page.texts


NOTHING = np.zeros(255, np.int64)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"body": Curve([1, 2], [3.0, 2.0])}, "learning_rate": Curve([1, 2], [1e-3, 0.0])},
        {"loss": {"loss": Curve([], []), "body": Curve([], [])}},
        {"loss": {"loss": Curve([5], [1.0]), "body": Curve([5], [0.0])}},
        {"loss": {"loss": Curve([5, 6], [1.0, math.nan]), "body": Curve([5, 6], [math.nan, math.inf])}},
        {"validation": {"IoU": {"rio": Curve([1], [math.nan])}, "F1": {}}},
        {"sets": [ValidationSet("unlabelled", {"IoU": math.nan}, NOTHING, NOTHING)]},
        {"sets": [ValidationSet("silent", {"IoU": 0.0}, np.eye(255, dtype=np.int64)[0] * 9, NOTHING)]},
        {"sets": [validation_set(f"set_{k}", k) for k in range(30)]},
        {"validation": {"$IoU_{": {"$a": Curve([1, 2], [0.1, 0.2])}}},
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_runs_have_a_report(tmp_path, changes):
    write_report(tmp_path / "report.html", ReportData(title="odd", **changes))
    assert all(decode(image) is not None for image in read(tmp_path / "report.html").images)


def texts(svg):
    return [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_legends_name_the_sets_and_parts(tmp_path):
    sets = [validation_set("$\\frac{"), validation_set("_hidden"), validation_set("武汉")]
    loss = {"$body_{": Curve([1, 2], [3.0, 2.0])}
    write_report(tmp_path / "report.html", ReportData(title="names", sets=sets, loss=loss))
    images = {image["alt"]: image for image in read(tmp_path / "report.html").images}
    assert "$body_{" in texts(decode(images["Parts of the loss"]))
    for plot in ("Precision and recall", "Reliability of the probabilities"):
        assert {item.name for item in sets} <= set(texts(decode(images[plot])))


def test_every_set_looks_different():
    names = [f"set_{k}" for k in range(24)]
    looks = line_styles(names)
    assert list(looks) == names
    assert len({tuple(look.values()) for look in looks.values()}) == 24
    assert len(line_styles([f"set_{k}" for k in range(40)])) == 40


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.html"):
        write_report(tmp_path / "report.pdf", ReportData(title="new"))


def test_a_half_written_report_is_never_seen(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("the last one")
    monkeypatch.setattr(
        "pathlib.Path.write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OutputError, match="full"):
        write_report(path, ReportData(title="new"))
    assert path.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [path]
