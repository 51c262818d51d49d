"""Every claim of docs/decision.md links to a measured table, and quotes it as it is now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "decision.md"
VERDICTS = ("metric better", "classification better", "no difference")

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
NUMBER = r"[-+]?\d*\.?\d+(?:,\d{3})*"
# "0.645 ± 0.002" and "+0.056 [+0.052, +0.059]" must occur as a whole
QUOTED = re.compile(
    rf"(?<![\w.@,-])(?:{NUMBER} ± {NUMBER}|{NUMBER} \[{NUMBER}, {NUMBER}\]|{NUMBER})(?![\w.]*\d)"
)
COMPARES = re.compile(
    r"\b(better|worse|best|above|below|beats?|higher|lower|helps?|helped|difference|gains?)\b"
)


def section(page: Path, anchor: str) -> str:
    """The text from a heading or ``<a id>`` to the next one that ends it; the page without one."""
    lines = page.read_text(encoding="utf-8").splitlines()
    if not anchor:
        return "\n".join(lines)
    for start, line in enumerate(lines):
        heading = re.match(r"(#+) (.*)", line)
        if line == f'<a id="{anchor}"></a>':
            ends = re.compile(r"<a id=")
        elif heading and slug(heading[2]) == anchor:
            ends = re.compile(rf"#{{1,{len(heading[1])}}} ")
        else:
            continue
        stop = next((n for n in range(start + 1, len(lines)) if ends.match(lines[n])), None)
        return "\n".join(lines[start:stop])
    raise LookupError(f"{page.name} has no heading or anchor {anchor}")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def claims(text: str) -> list[str]:
    """Table rows, and the sentences of bullets and of paragraphs that compare or quote a number."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for block in re.split(r"\n\n", text):
        if block.startswith(("#", "!")):
            continue
        if block.startswith("|"):
            found += block.splitlines()[2:]
            continue
        bullets = re.split(r"^- ", block, flags=re.MULTILINE)
        for bullet in filter(None, bullets):
            for sentence in re.split(r"(?<=[.?])\s+(?=[A-Z*])", " ".join(bullet.split())):
                if sentence.endswith(":"):  # it introduces a table
                    continue
                bare = re.sub(r"`[^`]*`", "", sentence)
                listed = block.startswith("- ")
                if listed or COMPARES.search(bare) or QUOTED.search(LINK.sub("", bare)):
                    found.append(sentence)
    return found


def sources(claim: str) -> list[tuple[str, str]]:
    """The sections that a claim links to, and their pages; none of this page itself."""
    found = []
    for _, target in LINK.findall(claim):
        path, _, anchor = target.partition("#")
        if path:
            page = (PAGE.parent / path).resolve()
            found.append((section(page, anchor), section(page, "")))
    return found


CLAIMS = claims(PAGE.read_text(encoding="utf-8"))


def quoted(claim: str) -> list[str]:
    """The numbers of a claim, with their intervals, outside code and outside the links' targets."""
    return QUOTED.findall(LINK.sub(r"\1", re.sub(r"`[^`]*`", "", claim)))


def occurs(number: str, text: str) -> bool:
    return re.search(rf"(?<![\w.+-]){re.escape(number)}(?![\w.]*\d)", text) is not None


@pytest.mark.parametrize("claim", CLAIMS, ids=range(len(CLAIMS)))
def test_a_claim_links_to_tables_that_have_its_numbers(claim: str) -> None:
    linked = sources(claim)
    own = re.search(r"\]\(#", claim) is not None  # to the advice for those who do not know
    assert linked or (own and not quoted(claim)), f"no link: {claim}"
    # a count of labels or texts may be in the page's introduction
    missing = [
        number
        for number in quoted(claim)
        if not any(occurs(number, text if "." in number else page) for text, page in linked)
    ]
    assert missing == []


ROWS = [claim for claim in CLAIMS if re.search(r"\| (?:[a-z]+ )+\| [-+]\d", claim)]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_verdict_is_that_of_its_difference_in_the_linked_table(row: str) -> None:
    _, _, verdict, difference, _ = (cell.strip() for cell in row.split("|"))
    assert verdict in VERDICTS
    ((text, _),) = sources(row)
    hits = []
    for line in text.splitlines():
        cells = line.split("|")
        for cell in (cell for cell in cells if occurs(difference, cell)):
            # the verdict is in the cell of the difference, or in one of its own
            hits.append(cell if any(each in cell for each in VERDICTS) else line)
    assert hits
    assert [hit for hit in hits if verdict not in hit] == []


def test_each_kind_of_claim_is_looked_at() -> None:
    assert len(ROWS) == sum(
        line.startswith("| [") and line.endswith("] |")
        for line in PAGE.read_text(encoding="utf-8").splitlines()
    )
    assert len(CLAIMS) > 2 * len(ROWS) > 60
