"""A verdict and its report: points for nbgrader, prose for a terminal, HTML for a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from coursekit.language import translated

FINDINGS_SHOWN = 2  # of each part; the first ones are what to mend first

# JupyterLab's theme colours, with fallbacks that read on white (nbgrader's feedback) and on dark grey.
_GREEN = "var(--jp-success-color1, #2e7d32)"
_RED = "var(--jp-error-color1, #c62828)"
_GREY = "var(--jp-ui-font-color2, #757575)"
_PRE = "margin:4px 0 0 0;padding:0;border:0;white-space:pre-wrap;background:none;color:inherit;font-size:0.92em"


@dataclass(frozen=True)
class PartResult:
    """One part of an exercise: its points, the earned ones, and what was found on its cases."""

    name: str
    points: int
    earned: int
    passed: bool
    cases: int
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check says. `text/plain` is the points earned, which nbgrader reads; `text/html` is the report."""

    exercise: str
    title: str = ""
    parts: tuple[PartResult, ...] = ()
    mistake: str = ""
    advice: str = ""
    refused: str = ""
    not_started: bool = False
    printed: str = ""
    section: str = ""  # the heading of what to read again where a mistake is named,
    section_link: str = ""  # and where it is
    remarks: tuple[str, ...] = ()

    @property
    def earned(self) -> int:
        return sum(part.earned for part in self.parts)

    @property
    def possible(self) -> int:
        return sum(part.points for part in self.parts)

    @property
    def full(self) -> bool:
        return self.earned == self.possible > 0

    @property
    def summary(self) -> str:
        """One line: what was earned, and the state."""
        if self.refused:
            return translated(self.refused)
        score = translated(f"{self.earned} of {self.possible} points")
        still = translated("not started, NotImplementedError is still raised")
        return f"{score}: {still}" if self.not_started else score

    @property
    def _told_parts(self) -> tuple[PartResult, ...]:
        return () if self.refused or self.not_started else self.parts

    def __repr__(self) -> str:
        return str(self.earned)

    def text(self) -> str:
        """The report for a terminal."""
        lines = [f"{translated(self.title) or self.exercise}: {self.summary}"]
        if self.advice:
            again = [f"  {translated('Read again')}: {self.section}"] if self.section else []
            lines += ["", f"  {translated(self.advice)}", *again, ""]
        lines += [f"  {translated(remark)}" for remark in self.remarks]
        for part in self._told_parts:
            lines.append(f"  [{_mark(part)}] {translated(part.name)}: {_state(part)}")
            lines += [_indent(told, 6) for told in _shown(part)]
        if self.printed:
            lines += [f"  {translated('Your code printed')}:", _indent(self.printed.rstrip(), 6)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        colour = _GREEN if self.full else _GREY if self.not_started else _RED
        body = [_heading(self, colour)]
        if self.advice:
            advice = prose(translated(self.advice)) + _again(self)
            body.append(f'<div style="margin:6px 0 8px 0;font-size:1.05em">{advice}</div>')
        body += [f'<div style="margin:4px 0">{prose(translated(remark))}</div>' for remark in self.remarks]
        body += [_part_html(part) for part in self._told_parts]
        if self.printed:
            printed = f'<pre style="{_PRE}">{escape(self.printed)}</pre>'
            summary = f"<summary>{escape(translated('Your code printed'))}</summary>"
            body.append(f'<details style="margin-top:6px">{summary}{printed}</details>')
        style = f"border-left:4px solid {colour};padding:6px 12px;margin:4px 0;max-width:60em;line-height:1.45"
        return f'<div role="status" style="{style}">{"".join(body)}</div>'


def _heading(verdict: Verdict, colour: str) -> str:
    title = escape(translated(verdict.title) or verdict.exercise)
    return f'<div><strong>{title}</strong> &nbsp;<span style="color:{colour}">{prose(verdict.summary)}</span></div>'


def _again(verdict: Verdict) -> str:
    if not verdict.section:
        return ""
    link = f'<a href="{escape(verdict.section_link)}">{escape(verdict.section, quote=False)}</a>'
    return f'<br><span style="font-size:0.95em">{escape(translated("Read again"))}: {link}</span>'


def _part_html(part: PartResult) -> str:
    colour = _GREEN if part.passed and part.earned else _GREY if part.passed else _RED
    said = f"{escape(translated(part.name))}: {escape(_state(part))}"
    line = f'<span style="color:{colour}" aria-hidden="true">{_mark(part)}</span> {said}'
    told = "".join(f'<pre style="{_PRE};padding-left:1.4em">{escape(text)}</pre>' for text in _shown(part))
    return f"<div>{line}{told}</div>"


def _state(part: PartResult) -> str:
    right, earned = part.cases - len(part.findings), part.earned if part.passed else 0
    waiting = ", counts once the parts above pass" if part.passed and not part.earned else ""
    return translated(f"{right} of {part.cases} cases right, {earned} of {part.points} points{waiting}")


def _mark(part: PartResult) -> str:
    return "✓" if part.passed else "✗"


def _shown(part: PartResult) -> list[str]:
    more = len(part.findings) - FINDINGS_SHOWN
    found = [*part.findings[:FINDINGS_SHOWN], *([f"and {more} more like this"] if more > 0 else [])]
    return [*map(translated, found)]


def prose(text: str) -> str:
    """Escaped text whose `backticked` words are code."""
    pieces = escape(text, quote=False).split("`")
    if len(pieces) % 2 == 0:
        return "`".join(pieces)
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))


def _indent(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
