"""Synthetic questions in the manner of SQuAD: true facts, put into sentences by templates, asked about by templates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# For each kind of thing: a fact's name, the sentences that tell it, the questions that ask for it.
TEMPLATES = {
    "landmark": """
        city
            {name} stands in {value}.
            Visitors to {value} go to see {name}.
            Where is {name}?
            In which city does {name} stand?
        year
            {name} was completed in {value}.
            In {value}, {name} was finished.
            When was {name} completed?
            In which year was {name} finished?
        height
            {name} is {value} metres tall.
            At {value} metres, {name} is seen from far away.
            How many metres tall is {name}?
            How high is {name}?
        designer
            {name} was designed by {value}.
            {value} drew the plans of {name}.
            Who designed {name}?
            Who drew the plans of {name}?""",
    "element": """
        number
            {name} has the atomic number {value}.
            The atomic number of {name} is {value}.
            What is the atomic number of {name}?
        discoverer
            {name} was discovered by {value}.
            {value} discovered {name}.
            Who discovered {name}?
            By whom was {name} discovered?
        year
            {name} has been known since {value}.
            The discovery of {name} dates from {value}.
            Since when has {name} been known?
            When was {name} discovered?""",
    "book": """
        author
            {name} was written by {value}.
            {value} is the author of {name}.
            Who wrote {name}?
            Who is the author of {name}?
        year
            {name} came out in {value}.
            In {value}, {name} was published.
            When was {name} published?
            In which year did {name} come out?""",
    "country": """
        capital
            The capital of {name} is {value}.
            {value} is the seat of the government of {name}.
            What is the capital of {name}?
            Which city is the capital of {name}?
        currency
            People in {name} pay with the {value}.
            The currency of {name} is the {value}.
            What is the currency of {name}?
            What do people in {name} pay with?
        river
            The capital of {name} lies on the {value}.
            The {value} flows through the capital of {name}.
            On which river does the capital of {name} lie?
            Which river flows through the capital of {name}?""",
}
FACTS = {
    "landmark": """
        the Eiffel Tower | Paris | 1889 | 330 | Stephen Sauvestre
        the Golden Gate Bridge | San Francisco | 1937 | 227 | Joseph Strauss
        the Sydney Opera House | Sydney | 1973 | 65 | Jørn Utzon
        the Empire State Building | New York | 1931 | 443 | William Lamb
        the Burj Khalifa | Dubai | 2010 | 828 | Adrian Smith
        the Gateway Arch | St. Louis | 1965 | 192 | Eero Saarinen
        the Atomium | Brussels | 1958 | 102 | André Waterkeyn
        the Chrysler Building | New York | 1930 | 319 | William Van Alen
        Taipei 101 | Taipei | 2004 | 508 | C. Y. Lee
        Tower Bridge | London | 1894 | 65 | Horace Jones
        the Berlin TV Tower | Berlin | 1969 | 368 | Hermann Henselmann
        the Turning Torso | Malmö | 2005 | 190 | Santiago Calatrava""",
    "element": """
        phosphorus | 15 | Hennig Brand | 1669
        cobalt | 27 | Georg Brandt | 1735
        nickel | 28 | Axel Cronstedt | 1751
        hydrogen | 1 | Henry Cavendish | 1766
        nitrogen | 7 | Daniel Rutherford | 1772
        uranium | 92 | Martin Klaproth | 1789
        titanium | 22 | William Gregor | 1791
        chromium | 24 | Louis Vauquelin | 1797
        iodine | 53 | Bernard Courtois | 1811
        lithium | 3 | Johan Arfwedson | 1817
        cadmium | 48 | Friedrich Stromeyer | 1817
        bromine | 35 | Antoine Balard | 1826
        thallium | 81 | William Crookes | 1861
        gallium | 31 | Paul Lecoq de Boisbaudran | 1875
        germanium | 32 | Clemens Winkler | 1886
        fluorine | 9 | Henri Moissan | 1886""",
    "book": """
        Don Quixote | Miguel de Cervantes | 1605
        Candide | Voltaire | 1759
        Pride and Prejudice | Jane Austen | 1813
        Frankenstein | Mary Shelley | 1818
        Jane Eyre | Charlotte Brontë | 1847
        Moby-Dick | Herman Melville | 1851
        Walden | Henry David Thoreau | 1854
        Dracula | Bram Stoker | 1897
        The Time Machine | H. G. Wells | 1895
        Buddenbrooks | Thomas Mann | 1901
        Ulysses | James Joyce | 1922
        The Great Gatsby | F. Scott Fitzgerald | 1925
        Brave New World | Aldous Huxley | 1932
        The Hobbit | J. R. R. Tolkien | 1937
        The Stranger | Albert Camus | 1942
        Things Fall Apart | Chinua Achebe | 1958
        Beloved | Toni Morrison | 1987
        The Remains of the Day | Kazuo Ishiguro | 1989""",
    "country": """
        France | Paris | euro | Seine
        Austria | Vienna | euro | Danube
        Poland | Warsaw | zloty | Vistula
        Portugal | Lisbon | euro | Tagus
        Egypt | Cairo | pound | Nile
        Iraq | Baghdad | dinar | Tigris
        Thailand | Bangkok | baht | Chao Phraya
        Latvia | Riga | euro | Daugava
        Ireland | Dublin | euro | Liffey
        Vietnam | Hanoi | dong | Red River
        South Korea | Seoul | won | Han
        Italy | Rome | euro | Tiber
        the United Kingdom | London | pound | Thames
        Lithuania | Vilnius | euro | Neris
        the Czech Republic | Prague | koruna | Vltava
        Russia | Moscow | rouble | Moskva""",
}
HELD_OUT = 4  # every fourth thing is asked about in the test alone
IMPOSSIBLE = 0.25


@dataclass(frozen=True)
class PassageQuestion:
    """A question on a passage; `answer` begins at passage[first] and is "" where the passage does not tell it."""

    question: str
    passage: str
    answer: str
    first: int


def synthetic_questions(
    n: int, g: torch.Generator, test: bool = False, distract: bool = False
) -> list[PassageQuestion]:
    """n questions on passages of two sentences, a quarter of them without an answer. Test and training share no thing.

    One sentence tells what is asked for, the other something else of the same thing; where there is no answer, the
    first is missing. With `distract` a sentence is added that tells the fact of another thing, as Jia and Liang (2017)
    added them to SQuAD.
    """
    return [_question(g, things(test), distract) for _ in range(n)]


def _question(g: torch.Generator, things: dict[str, list[dict[str, str]]], distract: bool) -> PassageQuestion:
    kind = _choice(g, list(things))
    it, other, third = (things[kind][i] for i in torch.randperm(len(things[kind]), generator=g)[:3].tolist())
    names = list(TOLD[kind])
    wanted, more = (names[i] for i in torch.randperm(len(names), generator=g)[:2].tolist())
    possible = torch.rand((), generator=g).item() >= IMPOSSIBLE
    told = [(it, wanted) if possible else (third, more), (it, more)] + distract * [(other, wanted)]
    told = [told[i] for i in torch.randperm(len(told), generator=g).tolist()]
    passage, first = "", 0
    for thing, name in told:
        sentence = _choice(g, TOLD[kind][name][0])
        if (thing, name) == (it, wanted):
            first = len(passage) + len(_filled(sentence.partition("{value}")[0], it, name))
        passage += _filled(sentence, thing, name) + " "
    question = _choice(g, TOLD[kind][wanted][1])
    return PassageQuestion(_filled(question, it, wanted), passage.strip(), it[wanted] if possible else "", first)


def _filled(template: str, thing: dict[str, str], name: str) -> str:
    """The template with the thing's name and the value in place, beginning with a capital letter."""
    text = template.replace("{name}", thing["name"]).replace("{value}", thing[name])
    return text[:1].upper() + text[1:]


def things(test: bool) -> dict[str, list[dict[str, str]]]:
    """The things of each kind, as dictionaries of their facts: every fourth for the test, the others for training."""
    return {kind: [t for i, t in enumerate(_table(kind)) if (i % HELD_OUT == HELD_OUT - 1) == test] for kind in FACTS}


def _table(kind: str) -> list[dict[str, str]]:
    names = ("name", *TOLD[kind])
    rows = (line.split("|") for line in FACTS[kind].strip().splitlines())
    return [dict(zip(names, (cell.strip() for cell in row), strict=True)) for row in rows]


def _told(kind: str) -> dict[str, tuple[list[str], list[str]]]:
    """Statements and questions of each fact."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    name = ""
    for line in (line.strip() for line in TEMPLATES[kind].strip().splitlines()):
        if line[-1] in ".?":
            found[name][line[-1] == "?"].append(line)
        else:
            name = line
            found[name] = ([], [])
    return found


def _choice(g: torch.Generator, items: list[str]) -> str:
    return items[int(torch.randint(len(items), (), generator=g))]


TOLD = {kind: _told(kind) for kind in TEMPLATES}
