"""Every text that a learner reads can be taken out and replaced: one chapter and its reports in a pseudo-language.

The pseudo-language writes each letter of a text with an accent and leaves alone what no translator changes: fields,
code, mathematics, HTML and where links lead. So whatever is left with plain letters was not taken from a catalogue.
Such a word is English, and fails the test, unless it is a name: of the exercise's arguments, results and inputs, of a
type of numbers, of Python's own errors, or an exercise's id.
"""

import builtins
import html
import re
from dataclasses import replace
from datetime import UTC, datetime
from string import Formatter

import pytest
import torch
from babel.messages.pofile import read_po
from matplotlib.figure import Figure

from coursekit import language
from coursekit.checking import store
from coursekit.checking.checks import check
from coursekit.checking.judging import judge
from coursekit.checking.laws import Count
from coursekit.diagrams import all_diagrams
from coursekit.exercises import find
from coursekit.figures import all_descriptions, picture
from coursekit.home import extension, page
from coursekit.home.handin import Item, Notebook
from coursekit.material.clinic import ILLNESSES
from coursekit.predictions import all_predictions
from coursekit.quizzes import all_quizzes
from coursekit.record.scores import progress
from coursekit.widgets.before_after import draw_before_and_after
from coursekit.widgets.cells import draw_cells
from coursekit.widgets.checkpoints import draw_checkpoint
from coursekit.widgets.choosing import draw_sampler
from coursekit.widgets.clinic import draw_clinic
from coursekit.widgets.controls import Notice
from coursekit.widgets.costs import draw_costs
from coursekit.widgets.deadlocks import draw_program
from coursekit.widgets.drafting import RULES, draw_draft
from coursekit.widgets.experts import draw_load
from coursekit.widgets.explorer import wrong_sentence
from coursekit.widgets.fill import draw_guesses
from coursekit.widgets.heads import Heads
from coursekit.widgets.landscape import draw_landscape
from coursekit.widgets.memory_planner import draw_plan
from coursekit.widgets.precision import draw_precision, formats
from coursekit.widgets.rate_finder import draw_rates
from coursekit.widgets.rings import draw_ring
from coursekit.widgets.rotary import draw_rotary
from coursekit.widgets.scale import draw_scale
from coursekit.widgets.thinking import draw_thought
from coursekit.widgets.threshold import draw_threshold
from coursekit.widgets.tokenizing import UTF_8, draw_tokens
from grader.authoring import building, chapter
from grader.authoring.texts import UNSPOKEN, extract, of_code, write

ACCENTED = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "àƀçđéƒğħïĵķļɱñôþɋřšťûṽŵẋýžÀƁÇĐÉƑĞĦÏĴĶĻṀÑÔÞɊŘŠŤÛṼŴẊÝŽ"
)
MARKS = re.compile(r"\[\[(term|formula):|\{[^{}]*\}")
PLAIN = re.compile(r"\b(?=\w*[A-Za-z]{2})[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
EXERCISES = ("attention.softmax", "attention.multihead", "bert.mask_tokens")
TYPES = {"float16", "bfloat16", "float32", "float64", "int32", "int64", "bool", "nan", "inf"}
ERRORS = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)}


def pseudo(text):
    """The text in the pseudo-language."""
    kept = re.compile(f"{UNSPOKEN.pattern}|{MARKS.pattern}", UNSPOKEN.flags)
    spoken, at = [], 0
    for found in kept.finditer(text):
        spoken += [text[at : found.start()].translate(ACCENTED), found[0]]
        at = found.end()
    return "".join([*spoken, text[at:].translate(ACCENTED)])


def english(text, names=frozenset()):
    """The words with plain letters in Markdown, HTML or text that are no code, mathematics or names."""
    text = re.sub(r"<style>.*?</style>|src=\"data:[^\"]*\"|<code>.*?</code>|\\\(.*?\\\)", " ", text, flags=re.DOTALL)
    labels = re.findall(r'(?:alt|title|aria-label)="([^"]*)"', text)
    visible = html.unescape(UNSPOKEN.sub(" ", " ".join([text, *labels])))
    visible = re.sub(r"(\w+(?:Error|Exception)): .*", r"\1", visible)  # Python's and torch's own words
    return {word for word in PLAIN.findall(visible) if not {word, word.split(".")[-1]} & {*names}}


def names_of(exercise, cases):
    """What an exercise's reports may call by name."""
    calls = exercise.signatures
    called = {name for call in calls for name in (call.name, *call.parameters, *call.returns, *(call.forward or ()))}
    inputs = {name for case in cases for name in case.inputs}
    return {*called, *inputs, *(f"d{name}" for name in inputs), *TYPES, *ERRORS, "Wrong"}


@pytest.fixture(scope="module")
def templates(root):
    return extract(root)


@pytest.fixture(scope="module")
def folders(templates, tmp_path_factory):
    """Both catalogues of the pseudo-language, written and read as those of a real one."""
    made = {}
    for name, template in templates.items():
        made[name] = tmp_path_factory.mktemp("language") / name
        for message in template:
            message.string = pseudo(message.id) if message.id else message.string
        write(template, made[name] / "xx.po")
        for message in template:
            message.string = "" if message.id else message.string
    return made


@pytest.fixture
def in_xx(folders, monkeypatch):
    monkeypatch.setattr(language, "FOLDER", folders["coursekit"])
    monkeypatch.setenv(language.CHOICE, "xx")
    language.catalogue.cache_clear()
    yield
    language.catalogue.cache_clear()


def test_a_text_has_its_place_and_a_mistake_its_name(templates):
    (found,) = (m for m in templates["coursekit"] if m.id and m.id.startswith("The scores are multiplied by sqrt(d)"))
    assert found.locations == [("grader/exercises/attention/sdpa.py", 0)]
    assert found.auto_comments == ["attention.sdpa: scale_multiplied"]


def test_prose_has_its_line_in_the_chapter(templates, root):
    for message in templates["chapters"]:
        for file, line in message.locations if message.id else ():
            first = message.id.splitlines()[0]
            assert line == 1 or first in (root / file).read_text(encoding="utf-8").splitlines()[line - 1]


def test_no_marking_scheme_is_in_what_learners_get(templates, root):
    marked = [
        cell.source
        for path in (root / "chapters").glob("*.py")
        for cell in chapter.read(path, root).cells
        if "question" in cell.keys
    ]
    schemes = [
        one
        for source in marked
        for one in chapter.paragraphs(source.split(chapter.BEGIN)[1])
        if one in templates["chapters"]
    ]
    assert len(schemes) >= len(marked) > 0
    assert not [one for one in schemes if one in templates["coursekit"]]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            'f"{name} has shape {tuple(x.shape)}, expected {tuple(y.shape)}"',
            "{name} has shape {shape}, expected {shape_2}",
        ),
        ('f"the weight {name!r} is {n:.3g}"', "the weight {name!s} is {n:n}"),
        ('f"call `{name}` again"', "call `{name!s}` again"),
        ('none("n", "{n:.0f} of {of:.0f} words are chosen")', "{n:n} of {of:n} words are chosen"),
        ('f"it has {a}{b}: work on a copy"', "it has {a}: work on a copy"),
        ('hint = " (is there a return?)"', "is there a return?"),
        ('x = "large" if n > 0 else None', "large"),
        ('f"a set {{{x}}} of numbers"', "a set {{{x}}} of numbers"),
    ],
)
def test_a_sentence_is_found_in_code_with_names_for_its_fields(code, text):
    assert [found.text for found in of_code(code, "a.py", whole=True)] == [text]


@pytest.mark.parametrize(
    "code",
    [
        '"""What it does."""',
        "x: 'a name and another'",
        "re.compile(r'a word\\s')",
        "f'{a}/{b}.py'",
        "d['of the words']",
    ],
)
def test_documentation_types_keys_and_patterns_are_no_texts(code):
    assert list(of_code(code, "a.py", whole=True)) == []


def test_elsewhere_only_what_is_shown_is_a_text():
    code = 'print("of no concern")\nshow(fig, "It falls.")\nax.set(xlabel="key", color="dark blue")'
    assert [(found.text, found.line) for found in of_code(code, "a.py")] == [("It falls.", 2), ("key", 3)]


def test_a_template_can_be_read_back(templates, tmp_path):
    write(templates["coursekit"], tmp_path / "all.pot")
    with (tmp_path / "all.pot").open("rb") as file:
        again = {(m.context, m.id) for m in read_po(file)}
    assert again == {(m.context, m.id) for m in templates["coursekit"]}


@pytest.fixture
def draft(in_xx, folders, root, tmp_path):
    """Makes chapter 02's notebook without its outputs, in the language that is chosen."""
    (tmp_path / "chapters").mkdir()
    for path in [*(root / "chapters").glob("*.py"), folders["chapters"] / "xx.po"]:
        (tmp_path / "chapters" / path.name).write_bytes(path.read_bytes())
    return lambda: building.draft(tmp_path / "chapters" / "02_attention.py", tmp_path)


def test_a_chapter_is_built_in_another_language(draft):
    made = draft()
    prose = [cell.source for cell in made.expanded.cells if cell.cell_type == "markdown"]
    assert len(prose) > 30
    assert {word for source in prose for word in english(source)} == set()
    assert english(" ".join(map(str, made.text.header.values()))) == set()


def test_a_chapters_code_is_the_same_in_every_language(draft, monkeypatch):
    def code():
        return [(cell.id, cell.source) for cell in draft().expanded.cells if cell.cell_type == "code"]

    theirs = code()
    monkeypatch.delenv(language.CHOICE)
    assert theirs == code()


def test_outputs_are_stale_when_what_coursekit_says_has_changed(draft, folders, monkeypatch):
    theirs = draft().inputs
    path = folders["coursekit"] / "xx.po"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert draft().inputs != theirs
    path.write_bytes(before)
    assert draft().inputs == theirs


# To be mended with the next build of all chapters, for it changes what they depend on.
STAYS_ENGLISH = pytest.mark.xfail(
    strict=True, reason="what follows `in the 4 cases that are wrong in A, it` is not told"
)


@pytest.mark.parametrize("id", [pytest.param(EXERCISES[0], marks=STAYS_ENGLISH), *EXERCISES[1:]])
def test_reports_of_known_mistakes_and_of_unknown_ones_hold_no_english(id, in_xx):
    exercise, known = find(id), store.load(id)
    names = names_of(exercise, known.cases)
    for mistake in known.mistakes:
        unknown = judge(exercise, known.cases, mistake.outcomes, known.expected, ())
        named = replace(unknown, mistake=mistake.name, advice=mistake.sentence)
        for report in (unknown.text(), named.text(), named._repr_html_()):
            assert english(report, names) == set(), (mistake.name, report)


def test_broken_laws_are_told_in_the_language(in_xx):
    exercise = find("bert.mask_tokens")
    laws = [law for law in exercise.laws if isinstance(law, Count)]
    assert len(laws) > 20
    for law in laws:
        fields = {name: 7.0 for _, name, _, _ in Formatter().parse(law.says) if name}
        assert english(language.translated(law.says.format(**fields)), {"g", "ids", "labels"}) == set()


@pytest.mark.parametrize("id", EXERCISES)
def test_refusals_are_told_in_the_language(id, in_xx, capsys):
    names = {*names_of(find(id), ()), "wrong", "Wrong", "Tensor", "int", "one"}

    def wrong(one):
        return one

    class Wrong:
        pass

    for objects in ((), (None,), (wrong,), (Wrong,), (3,), (torch.ones(2),), (wrong, wrong)):
        verdict = check(id, *objects)
        assert verdict.refused
        assert english(verdict._repr_html_(), names) == set(), verdict.text()


def test_a_learners_code_and_pythons_errors_are_shown_as_they_are(in_xx):
    def softmax(x, dim):
        return "values" if dim is None else x.no_such_thing

    report = check("attention.softmax", softmax).text()
    assert 'return "values" if dim is None else x.no_such_thing' in report
    assert "AttributeError: 'Tensor' object has no attribute 'no_such_thing'" in report


def test_each_sentence_with_fields_is_known_as_itself(in_xx, templates):
    known = language.catalogue("xx")
    for message in templates["coursekit"]:
        if message.context == language.FIELDS:
            fields = {name: "Q7" for _, name, _, _ in Formatter().parse(message.id) if name}
            plain = re.sub(r"\{(\w+)[^}]*\}", r"{\1}", message.id)
            assert english(known.told(plain.format(**fields)), {"Q7", "Q7_Q7"}) == set()


def test_quizzes_hold_no_english(in_xx):
    shown = [quiz._repr_html_() for id, quiz in all_quizzes().items() if id.startswith("attention.")]
    assert len(shown) >= 3
    assert {word for one in shown for word in english(one)} == set()


def test_predictions_hold_no_english(in_xx):
    asked = [text for one in all_predictions().values() for text in (one.ask, *map(one.told, one.options))]
    assert {word for text in asked for word in english(text)} == set()


def test_descriptions_of_figures_hold_no_english(in_xx):
    told = [re.sub(r"\{[^}]*\}", "", text) for text in all_descriptions().values()]
    assert len(told) >= 2
    assert {word for text in told for word in english(text)} == set()


def test_diagrams_hold_no_english(in_xx):
    drawn = [make().svg() for make in all_diagrams().values()]
    written = [text for svg in drawn for text in re.findall(r"<(?:text|title)[^>]*>(.*?)</(?:text|title)>", svg)]
    assert written
    assert {word for text in written for word in english(re.sub(r"{[^}]*}", "", text))} == set()


def test_a_figures_labels_and_its_description_hold_no_english(in_xx):
    fig = Figure()
    ax = fig.subplots()
    ax.plot([1], [1], label="average of 64 queries, by divisor")
    ax.set(
        xlabel="head width d", ylabel="attention weight", title="three pairs, turning", xticks=[1], xticklabels=["key"]
    )
    ax.legend()
    assert english(picture(fig, "The controls appear when you run this cell.").alt) == set()
    texts = (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_legend().get_texts())
    assert english(" ".join(text.get_text() for text in texts)) == set()
    assert ax.get_xticklabels()[0].get_text() == "key"  # it may be a token


def test_widgets_hold_no_english(in_xx):
    p, labels, A = torch.tensor([0.2, 0.9, 0.6]), torch.tensor([0, 1, 1]), torch.eye(2)[None, None]
    wrong = [wrong_sentence(" "), wrong_sentence("x" * 500)]
    shown = [
        *(draw_scale(0), draw_scale(4, "x"), draw_scale(64), *map(Notice, wrong)),
        *(draw_rotary(1, 4, 4), draw_rotary(10, 3, 4), draw_rotary(10, 4, 0), draw_rotary(1e4, 64, 512)),
        *(draw_threshold(p, labels, 2), draw_threshold(p, labels, 0.5), draw_threshold(p, labels, 1)),
        *(draw_guesses(lambda text, k: [[("13", 0.5)]], "[MASK]", 1), draw_guesses(None, "7", 1)),
        *(draw_before_and_after(*2 * [lambda sentence: (["1", "2"], A)], "1 2", layer, 0) for layer in (0, 5)),
        Heads(["1", "2"], A[0], "Attention of layer 3 at temperature 1 on: 1 2"),
    ]
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), {"MASK"}) == set()


def test_widgets_of_a_decoder_hold_no_english(in_xx):
    p, digits = torch.tensor([0.5, 0.25, 0.25]), ["1", "2", "3"]
    curve = [{"step": step, "loss": 2.0, "training": 1.0, "bits_per_byte": 3.0} for step in (0, 10)]
    written = [{"step": step, "texts": ["7"]} for step in (0, 10)]
    settings = [(1, 1, 1, 0, 0), (0, 1, 1, 0, 0), (1, -1, 1, 0, 0), (1, 1, 0, 0, 0), (1, 1, 1, 2, 0), (1, 1, 1, 0, -1)]
    rules = [(0.5, 4, rule, seed) for rule in RULES for seed in range(3)]
    shown = [
        *(draw_sampler(lambda text: p.log(), digits, "7", *values) for values in settings),
        *(draw_sampler(lambda text, z=z: z, digits, "7", *settings[0]) for z in (p * torch.nan, torch.ones(2))),
        *(
            draw_thought(lambda text, n=n: (torch.zeros(n).long(), p.log().expand(n, 3)), digits, "7")
            for n in (1, 2, 5)
        ),
        *(draw_checkpoint(curve, written, (), step) for step in (0, 10, 7)),
        *(draw_cells(*lengths) for lengths in ((5, 3, 0), (5, 3, 2), (0, 3, 0), (5, -1, 0), (5, 3, -1))),
        *(draw_draft(lambda ids: p, lambda ids: p.flip(0), digits, *values) for values in rules),
        *(draw_draft(lambda ids: p, lambda ids: p, digits, *values) for values in ((2, 4, "", 0), (0.5, 0, "", 0))),
        *(draw_draft(lambda ids: p, lambda ids, row=row: row, digits, *rules[0]) for row in (2 * p, p[:2])),
        *(draw_load(*values) for values in ((1, 1, 8), (0, 1, 8), (1, 0, 8), (1, 1, 1), (1, 1, 8, 7))),
    ]
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), {"U", "other", "target", "NaN"}) == set()


def test_the_home_page_holds_no_english(in_xx):
    items = (Item("a", "attention.sdpa", "1", 2.0, True, "2.1"), Item("b", "", "2", 3.0, False, "2.A"))
    advised = ("The text has 7 characters, of your own at most 5 are shown to whoever marks it.",)
    notebook = Notebook("7", 90, datetime(2026, 1, 2, tzinfo=UTC), items, advised)
    fetched = page.Chapter("02_1", "02_1/1.ipynb", notebook, "", (page.Handed("2026-01-02 03:04:05 UTC", "1"),))
    lost = page.Chapter("03_1", "03_1/1.ipynb", None, "1.ipynb is no notebook: open it, save it, and try again")
    chapters = [page.Chapter("01_1", "", notebook), fetched, lost]
    shown = [
        page.home("7", chapters),
        page.home("7", [], extension._DONE["submit"]),
        page.preview(fetched),
        page.preview(lost),
    ]
    for one in shown:
        assert english(one, {"UTC", "ipynb"}) == set()


def test_the_map_of_progress_holds_no_english(in_xx):
    ids = {
        id.partition(".")[2] for id in re.findall(r"\b(?:core|attention|bert|gpt|distributed)\.\w+", repr(progress()))
    }
    for shown in (repr(progress()), progress()._repr_html_()):
        assert english(shown, ids) == set()


def test_widgets_of_the_first_chapter_hold_no_english(in_xx):
    rates, ladder = [10.0 ** (k / 10) for k in range(20)], [2.0 - k / 20 for k in range(20)]
    curves = (ladder, ladder[:10] + ladder[9::-1], [2.0] * 20, ladder[1:], 2.0, [0.0] * 20)
    rulers = (
        *(("bfloat16",), ("float16", 0, 1.5), ("float32", 3), ("float8_e4m3fn", 7, 500), ("7",), ("float32", -1)),
        *(("float16", 7, 0), ("float16", 7, 1, 0)),
    )
    shown = [
        *(draw_landscape(*values) for values in ((0.05, 0.9), (1.0, 0.9), (0, 0), (1, 2), (1, 0, -1), (1, 0, 0, 0))),
        *(draw_landscape(1, 0, 0, 1, -1), draw_rates(lambda batch: ladder, rates[:3], 8, 1)),
        *(draw_rates(lambda batch, losses=losses: losses, rates, 8, 1) for losses in curves),
        *(draw_rates(None, rates, 0, 1), draw_rates(None, rates, 8, 0)),
        *(draw_precision(*values) for values in rulers),
        *(draw_tokens({"1": pair}, "7é") for pair in (UTF_8, (lambda text: [55], UTF_8[1]))),
        draw_tokens({}, "7\ud800"),
    ]
    names = {*formats(), "SGD", "AdamW", "Muon", "UTF", "growing_rates", "float"}
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), names) == set()


def test_the_clinic_holds_no_english(in_xx):
    names = {word for name in ILLNESSES for word in name.replace("-", " ").split()}  # what `diagnose` returns
    shown = (draw_clinic("healthy", 0), draw_clinic("labels leak", 1), draw_clinic("7", 0), draw_clinic("healthy", -1))
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), names) == set()


def test_widgets_of_the_fifth_chapter_hold_no_english(in_xx):
    plans = [(stage, 8, 1, 1, 4096, 1) for stage in range(4)]
    shown = [
        *(draw_ring(*values) for values in ((4, 0), (4, 1), (2, 2), (8, 14))),
        *(draw_costs(*values) for values in ((1e8, 8, 5e-6, 5e10), (1e3, 2, 5e-6, 5e10))),
        *(draw_plan("LLaMA 7B", 7, *values) for values in plans),
        *(draw_program(number, "waits for ever", True) for number in range(1, 7)),
        draw_program(7),
    ]
    names = {"kB", "MB", "GB", "ms", "Llama", "LLaMA", "TinyLlama"}
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), names) == set()
