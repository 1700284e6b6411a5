"""The home page as HTML: what the server knows, escaped; buttons say in `data-` attributes what they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from coursekit.home.handin import Notebook
from coursekit.language import translated
from coursekit.record.scores import Scores

STYLE = """
.ck-home { padding: 24px 32px; overflow: auto; height: 100%; box-sizing: border-box; color: var(--jp-ui-font-color1);
  font-family: var(--jp-content-font-family); font-size: var(--jp-content-font-size1); }
.ck-home > * { max-width: 52em; }
.ck-home h1 { font-size: 1.7em; margin: 0 0 4px; } .ck-home h2 { font-size: 1.25em; margin: 0; }
.ck-home section { border: 1px solid var(--jp-border-color2); border-radius: 6px; padding: 14px 18px; margin: 14px 0; }
.ck-home .quiet { opacity: 0.75; } .ck-home p { margin: 6px 0; } .ck-home ul { margin: 6px 0; padding-left: 1.4em; }
.ck-home a { color: var(--jp-content-link-color); text-decoration: underline; }
.ck-home button { font: inherit; padding: 4px 12px; margin: 4px 8px 4px 0; border-radius: 4px; cursor: pointer;
  border: 1px solid var(--jp-border-color1); background: var(--jp-layout-color1); color: inherit; }
.ck-home button.first { background: var(--jp-brand-color1); border-color: var(--jp-brand-color1);
  color: var(--jp-ui-inverse-font-color1, #fff); }
.ck-home .message { border-left: 4px solid var(--jp-brand-color1); padding: 6px 12px; }
.ck-home .message.wrong { border-color: var(--jp-error-color1); }
.ck-home progress { width: 100%; height: 10px; }
"""


@dataclass(frozen=True)
class Handed:
    """One submission: its time as nbgrader wrote it, and the feedback's path in the home, empty while there is none."""

    timestamp: str
    feedback: str = ""


@dataclass(frozen=True)
class Chapter:
    """One released chapter. `path` is empty until it is fetched; `notebook` is None where it cannot be read."""

    slug: str
    path: str = ""
    notebook: Notebook | None = None
    trouble: str = ""
    handed: tuple[Handed, ...] = ()
    scores: Scores = field(default_factory=dict)


def home(course: str, chapters: list[Chapter], message: str = "", wrong: bool = False) -> str:
    """The whole page."""
    told = f'<p class="message{" wrong" if wrong else ""}" role="status">{spoken(message)}</p>' if message else ""
    none = spoken("Nothing is released yet. Reload this page when your instructor says that it is.")
    return (
        f"<style>{STYLE}</style><h1>{escape(course)}</h1>"
        f"<p>{_button('assignments', '', spoken('Assignment list'))}{_button('reload', '', spoken('Reload'))}</p>{told}"
        + ("".join(map(_chapter, chapters)) or f'<p class="quiet">{none}</p>')
    )


def preview(chapter: Chapter) -> str:
    """What will be handed in, and what is still a stub, before it is."""
    notebook = chapter.notebook
    if notebook is None:
        return home("", [chapter], chapter.trouble, wrong=True)
    done = len(notebook.items) - len(notebook.stubs)
    lines = "".join(
        f"<li>{escape(item.title)} <span class='quiet'>{spoken(f'{item.points:g} points')}</span></li>"
        for item in notebook.stubs
    )
    left = f"{len(notebook.stubs):d} still as released, worth nothing as they are:"
    stubs = f"<p>{spoken(left)}</p><ul>{lines}</ul>" if lines else f"<p>{spoken('Nothing is left as released.')}</p>"
    submit = _button("submit", chapter.slug, spoken("Hand in now"), first=True)
    return (
        f"<style>{STYLE}</style><h1>{spoken('Hand in')}: {escape(notebook.title)}</h1>"
        f"<p><code>{escape(chapter.path)}</code>, {spoken(f'saved {notebook.saved:%Y-%m-%d, %H:%M}')}</p>"
        f"<p><strong>{spoken(f'{done:d} of {len(notebook.items):d} written.')}</strong> "
        f"{spoken('You can hand in again; the last one counts.')}</p>"
        f"{_advice(notebook)}{stubs}"
        f"<p>{submit}{_button('reload', '', spoken('Not yet'))}</p>"
    )


def _advice(notebook: Notebook) -> str:
    """What the learner would rather know before it is handed in."""
    lines = "".join(f"<li>{spoken(sentence)}</li>" for sentence in notebook.advice)
    before = spoken("Before you hand in:")
    return f'<div class="message wrong"><p>{before}</p><ul>{lines}</ul></div>' if lines else ""


def _chapter(chapter: Chapter) -> str:
    title = chapter.notebook.title if chapter.notebook else chapter.slug
    if not chapter.path:
        body = _promise(chapter) + f"<p>{_button('fetch', chapter.slug, spoken('Start'), first=True)}</p>"
    elif chapter.notebook is None:
        body = f'<p class="message wrong">{spoken(chapter.trouble)}</p>' + _open(chapter)
    else:
        body = _progress(chapter) + _open(chapter)
    number = f"{int(chapter.slug[:2])}. " if chapter.slug[:2].isdecimal() else ""
    heading = f'<h2 id="{escape(chapter.slug)}">{number}{escape(title)}</h2>'
    return f"<section aria-labelledby='{escape(chapter.slug)}'>{heading}{body}{_handed(chapter)}</section>"


def _promise(chapter: Chapter) -> str:
    """What a chapter holds, before it is started."""
    if chapter.notebook is None:
        return ""
    points, minutes = sum(item.points for item in chapter.notebook.items), chapter.notebook.minutes
    time = f", about {minutes / 60:.0f} hours" if minutes >= 90 else f", about {minutes:d} minutes" if minutes else ""
    held = f"{len(chapter.notebook.items):d} exercises and questions, {points:g} points{time}"
    return f'<p class="quiet">{spoken(held)}</p>'


def _open(chapter: Chapter) -> str:
    button = _button("open", chapter.path, spoken("Open"), first=True)
    return f"<p>{button}{_button('preview', chapter.slug, spoken('Hand in ...'))}</p>"


def _progress(chapter: Chapter) -> str:
    assert chapter.notebook
    exercises = [item for item in chapter.notebook.items if item.id]
    best = {item.id: min(chapter.scores[item.id].best, item.points) for item in exercises if item.id in chapter.scores}
    earned, points = sum(best.values()), sum(item.points for item in exercises)
    full = sum(best.get(item.id, 0) >= item.points for item in exercises)
    said = spoken(f"{earned:g} of {points:g} points in checks, {full:d} of {len(exercises):d} exercises done")
    return f'<p>{said}</p><progress max="{points:g}" value="{earned:g}" aria-label="{said}"></progress>'


def _handed(chapter: Chapter) -> str:
    if not chapter.handed:
        return ""
    rows = []
    for handed in reversed(chapter.handed):
        feedback = _button("read", handed.feedback, spoken("Read the feedback")) if handed.feedback else ""
        rows.append(f"<li>{spoken(f'Handed in {handed.timestamp[:16]!s} UTC')} {feedback}</li>")
    return f"<ul>{''.join(rows)}</ul>"


def _button(action: str, target: str, label: str, first: bool = False) -> str:
    kind = ' class="first"' if first else ""
    return f'<button{kind} data-action="{action}" data-target="{escape(target)}">{label}</button>'


def spoken(text: str) -> str:
    """The text in the learner's language, escaped."""
    return escape(translated(text))
