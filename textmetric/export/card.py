"""The model card: what an export is, where it is from, and what it is not for.

It is a ``README.md`` with the YAML front matter of model hubs. What comes from the data, such as
the names of classes, is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textmetric.errors import UserError, shown
from textmetric.measures import Evaluation
from textmetric.report.formats import MISSING, code, number, plain, table, word
from textmetric.saved import Saved

CARD = "README.md"
_MARK = "- textmetric"

Interval = Sequence[float | None]
"""Mean, low and high."""
Measures = Mapping[str, Evaluation | Mapping[str, float | Interval]]
"""For each test set, described in words, its measures: numbers, or means with their intervals."""


def is_card(path: Path) -> bool:
    """Whether a file is a card that :func:`card` made."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    front, end, _ = text.partition("\n---\n")
    return text.startswith("---\n") and bool(end) and _MARK in front.splitlines()


def card(
    saved: Saved,
    *,
    title: str,
    front: Mapping[str, str],
    tags: Sequence[str],
    usage: str,
    notes: Sequence[str],
    measures: Measures | None,
) -> str:
    """The text of ``README.md``.

    Args:
        saved: the model.
        title: of the card.
        front: keys of the front matter with their values, plain words.
        tags: of the front matter.
        usage: a piece of Python that uses the export.
        notes: how the export differs from the model; Markdown.
        measures: see :data:`Measures`.

    Raises:
        UserError: a measure is neither a number nor an interval.
    """
    blocks = [
        f"# {plain(title)}",
        _summary(saved),
        f"## Usage\n\n```python\n{usage.strip()}\n```",
        *(["\n".join(f"- {note}" for note in notes)] if notes else []),
        "## Training",
        table(["", ""], _training(saved)),
        "## Classes",
        _classes(saved),
        "## Measures",
        *_measured(measures or {}),
        "## What it is not for",
        _limits(saved),
    ]
    header = [
        *(f"{key}: {value}" for key, value in front.items()), "tags:", _MARK,
        *(f"- {tag}" for tag in tags),
    ]  # fmt: skip
    return "---\n" + "\n".join(header) + "\n---\n\n" + "\n\n".join(blocks) + "\n"


_OTHER_TEXTS = """\
- **Other texts than those it was trained on.** Language, subject and classes are those of its
  training texts. Measure it on texts of yours before you rely on it."""
_BAGS = """\
- **The order of words.** A text is the mean of its token vectors, so "dog bites man" and "man bites
  dog" are the same, and a negation is one word among others.
- **Unknown words.** They say nothing, and all texts without a known word have the same vector."""
_PRIVATE = """\
- **Texts that must stay private.** Words of the training texts and the names of the classes can be
  read from the files."""


def _limits(saved: Saved) -> str:
    return "\n".join([_OTHER_TEXTS, *([] if saved.frozen else [_BAGS]), _PRIVATE])


def _summary(saved: Saved) -> str:
    model = saved.recipe["model"]
    inputs = "given vectors of texts" if saved.frozen else f"{len(saved.vocabulary) - 1:,} tokens"
    return (
        f"A text embedding with {model['dim']} dimensions, trained by TextMetric on "
        f"{_rows(saved)} with {len(saved.label_names):,} classes. It embeds {inputs}."
    )


def _rows(saved: Saved) -> str:
    if saved.counts is None:
        return "texts, whose number was not saved,"
    return f"{sum(saved.counts):,} labelled texts"


def _training(saved: Saved) -> list[list[str]]:
    recipe, model = saved.recipe, saved.recipe["model"]
    objective = dict(recipe["objective"])
    name = objective.pop("name")
    parameters = ", ".join(f"{word(key)} {word(value)}" for key, value in objective.items())
    train = recipe.get("train")
    facts: dict[str, Any] = {
        "objective": f"{word(name)} ({parameters})" if parameters else word(name),
        "batches": word(recipe.get("sampler", MISSING)),
        "encoder": "mean of token vectors" if not saved.frozen else "layer over given vectors",
        "layer": "none" if model["layer"] == "bag" else word(model["layer"]),
        "token vectors start at": code(_start(model)),
        "tokenizer": code(saved.vocabulary.tokenizer.name),
        "width of the token vectors" if not saved.frozen else "width of the vectors": saved.width,
        "dimensions": model["dim"],
        "epochs": word(train["epochs"])
        if isinstance(train, dict) and "epochs" in train
        else MISSING,
        "seed": word(recipe.get("seed", MISSING)),
        "classified by": _classifier(saved),
        "temperature of the probabilities": number(saved.temperature),
    }
    if saved.frozen:
        del facts["token vectors start at"], facts["tokenizer"]
    return [[key, str(value)] for key, value in facts.items()]


def _start(model: Mapping[str, Any]) -> str:
    return str(model.get("vectors") or model.get("start") or "uniform")


def _classifier(saved: Saved) -> str:
    if saved.classifier.head:
        return "the head of the objective"
    return "class centroids" if saved.classifier.logistic is None else "logistic regression"


def _classes(saved: Saved) -> str:
    counts: Sequence[int | None] = saved.counts or [None] * len(saved.label_names)
    rows = [
        [plain(name) or "(empty)", MISSING if count is None else f"{count:,}"]
        for name, count in zip(saved.label_names, counts, strict=True)
    ]
    return table(["class", "train texts"], rows)


def _measured(measures: Measures) -> list[str]:
    if not measures:
        return ["Not given."]
    blocks = []
    for test_set, found in measures.items():
        values = found.flat if isinstance(found, Evaluation) else found
        rows = [[plain(name), *_value(name, value)] for name, value in values.items()]
        blocks += [f"On {plain(test_set)}:", table(["measure", "value", "95 % interval"], rows)]
    return blocks


def _value(name: str, value: float | Interval) -> list[str]:
    """The cells of a number or of (mean, low, high)."""
    try:
        mean, low, high = (value, None, None) if isinstance(value, int | float) else value
        interval = MISSING if low is None or high is None else f"{low:.3f} to {high:.3f}"
        return [number(mean), interval]
    except (TypeError, ValueError):
        raise UserError(
            f"the measure {name} is {shown(value)}, expected a number or (mean, low, high)"
        ) from None
