"""Building blocks of a report's page: HTML in strings, everything from outside escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from geoconvnext.training.pictures import COLOURS, VIEWS, Panel, encode, score_text, tile_views

CSS = """
:root { --ink: #1f2933; --soft: #5b6773; --line: #e1e6eb; --ground: #f5f7f9; --accent: #0b6fa4; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 28px 64px; }
header { border-bottom: 3px solid var(--accent); padding-bottom: 18px; }
.kicker { margin: 0; color: var(--accent); font-weight: 600; letter-spacing: .02em; }
h1 { margin: 2px 0 0; font-size: 30px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 44px 0 6px; font-size: 21px; }
h3 { margin: 0 0 8px; font-size: 15px; }
p { max-width: 78ch; margin: 6px 0 14px; }
.soft, figcaption { color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: 14px; margin: 22px 0 18px; }
.card, figure, .table, .tile { background: #fff; border: 1px solid var(--line); border-radius: 8px; }
.card { padding: 14px 22px; min-width: 150px; }
.card b { display: block; font-size: 30px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; padding: 16px 18px; break-inside: avoid; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: 13.5px; margin-top: 8px; }
.table { overflow-x: auto; margin: 14px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 8px 14px; text-align: left; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.total > * { border-top: 2px solid #b6bec8; font-weight: 700; }
td.value { overflow-wrap: anywhere; }
.tile { padding: 12px 16px 16px; margin: 14px 0; break-inside: avoid; }
.tile h3 { display: flex; justify-content: space-between; gap: 20px; overflow-wrap: anywhere; }
.tile h3 span { white-space: nowrap; font-variant-numeric: tabular-nums; }
.views { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; }
.views img { width: 100%; height: auto; display: block; }
.chip { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 5px 0 12px; }
.groups { columns: 2 420px; column-gap: 16px; }
.groups .table { break-inside: avoid; margin: 0 0 14px; display: inline-block; width: 100%; }
.groups th { width: 45%; }
.groups th, .groups td { padding: 5px 14px; }
footer { margin-top: 48px; color: var(--soft); font-size: 13px; }
@media print { body { background: #fff; } main { max-width: none; padding: 0; } }
"""


def page(title: str, kicker: str, body: Iterable[str], foot: str) -> str:
    """Return the whole document; body: HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<header><p class="kicker">{escape(kicker)}</p><h1>{escape(title)}</h1></header>\n'
        + "\n".join(body)
        + f"\n<footer>{escape(foot)}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(title: str, explanation: str, *parts: str) -> str:
    """Return a heading, a sentence and HTML."""
    return (
        f'<section>\n<h2>{escape(title)}</h2>\n<p class="soft">{escape(explanation)}</p>\n'
        + "\n".join(parts)
        + "\n</section>"
    )


def cards(values: Mapping[str, str]) -> str:
    """Return large numbers with their meaning beneath."""
    inner = "".join(
        f"<div class='card'><b>{escape(v)}</b><span>{escape(k)}</span></div>" for k, v in values.items()
    )
    return f'<div class="cards">{inner}</div>'


def plot(title: str, svg: str, caption: str) -> str:
    """Return a plot with its title, and beneath it what to look for."""
    image = _image("image/svg+xml", svg.encode(), title)
    return f"<figure><h3>{escape(title)}</h3>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def plots(figures: Sequence[str]) -> str:
    """Return plots side by side where the screen is wide enough."""
    return f'<div class="plots">{"".join(figures)}</div>'


def number_table(head: Sequence[str], rows: Mapping[str, Sequence[str]], total: Sequence[str] = ()) -> str:
    """Return a table of names and numbers, the last row, if any, emphasised."""
    names = "".join(f'<th class="number">{escape(name)}</th>' for name in head[1:])
    lines = [_number_row(name, values) for name, values in rows.items()]
    if total:
        lines.append(_number_row(total[0], total[1:], kind=' class="total"'))
    return (
        f'<div class="table"><table><thead><tr><th>{escape(head[0])}</th>{names}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def text_table(rows: Mapping[str, str], title: str = "") -> str:
    """Return a table of names and texts."""
    head = f'<thead><tr><th colspan="2">{escape(title)}</th></tr></thead>' if title else ""
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="value">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f'<div class="table"><table>{head}<tbody>{lines}</tbody></table></div>'


def grouped_settings(settings: Mapping[str, str]) -> str:
    """Return a table per first part of the dotted keys; keys without a dot stand in the first one."""
    groups: dict[str, dict[str, str]] = {"run": {}}
    for key, value in settings.items():
        group, dot, name = key.partition(".")
        groups.setdefault(group if dot else "run", {})[name if dot else key] = value
    tables = [text_table(rows, title=group) for group, rows in groups.items() if rows]
    return f'<div class="groups">{"".join(tables)}</div>'


def tile_legend() -> str:
    """Return what the columns and colours of the tiles mean."""
    chips = "".join(
        f'<span class="chip" style="background: rgb{colour}"></span>{name}'
        for name, colour in COLOURS.items()
    )
    return f"<p>Left to right: {', '.join(VIEWS)}. {chips}</p>"


def tile(panel: Panel) -> str:
    """Return the three views of a tile under its name and IoU."""
    views = (
        _image("image/jpeg", encode(view, ".jpg"), f"{name} of {panel.name}")
        for name, view in zip(VIEWS, tile_views(panel), strict=True)
    )
    head = f"<h3>{escape(panel.name)}<span>IoU {score_text(panel.iou)}</span></h3>"
    return f'<div class="tile">{head}<div class="views">{"".join(views)}</div></div>'


def _number_row(name: str, values: Sequence[str], *, kind: str = "") -> str:
    cells = "".join(f'<td class="number">{escape(value)}</td>' for value in values)
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{cells}</tr>'


def _image(kind: str, content: bytes, alternative: str) -> str:
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(alternative)}" src="data:{kind};base64,{data}">'
