"""``textmetric train``."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from textmetric.cli.options import Source, examples, reads_table
from textmetric.errors import UserError, unknown_name

if TYPE_CHECKING:
    from textmetric.cli.tables import Table

OBJECTIVES = (
    "angular", "contrastive", "cross_entropy", "dvml", "facility_location", "invariant_spreading",
    "inverse_cloze", "lifted", "magnet", "multi_similarity", "n_pair", "norm_softmax",
    "prototypical", "proxy_nca", "quadruplet", "ranked_list", "sup_con", "triplet",
)  # fmt: skip
"""Those of :mod:`textmetric.losses`, which takes too long to import to complete their names."""
_PML = "pml:"


class Objective(click.ParamType[str | None]):
    """The name of an objective."""

    name = "name"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | None:
        """The name, if it is known."""
        if value not in OBJECTIVES and not value.startswith(_PML):
            self.fail(str(unknown_name("objective", value, OBJECTIVES)), param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that start so."""
        return [CompletionItem(name) for name in OBJECTIVES if name.startswith(incomplete)]


class Setting(click.ParamType[tuple[str, Any]]):
    """A parameter of an objective: ``KEY=VALUE``."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """The key and the value: a number, true or false, or text."""
        if isinstance(value, tuple):
            return value
        key, sign, text = value.partition("=")
        if not sign or not key:
            self.fail(
                f"{value!r} is not KEY=VALUE: give a parameter such as margin=0.5", param, ctx
            )
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return key, kind(text)
        return key, {"true": True, "false": False}.get(text.lower(), text)


@click.command(
    short_help="Learn embeddings from labelled texts.",
    epilog=examples(
        "textmetric train reviews.csv --text body --label stars --out my-model",
        "textmetric train reviews.csv --text body --label stars --out my-model \\",
        "    --objective triplet --set margin=0.5 --dim 64 --lr 0.1",
        "textmetric train reviews.csv --text body --label stars --out my-model \\",
        "    --vectors all-MiniLM-L6-v2",
    ),
)
@reads_table(labels=True, empty="drop")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False),
    help="Folder to write. A saved model that is there is replaced, anything else is refused.",
)
@click.option(
    "--objective",
    type=Objective(),
    help="What is minimised, by default sup_con: docs/objectives.md.",
)
@click.option(
    "--set", "settings", type=Setting(), multiple=True, help="Parameter of the objective."
)
@click.option("--sampler", type=click.Choice(("balanced", "shuffled")), help="Default: balanced.")
@click.option("--dim", type=click.IntRange(1), help="Width of the embedding, by default 256.")
@click.option(
    "--layer",
    type=click.Choice(("bag", "linear", "layernorm", "mlp")),
    help="What the embedding is. By default bag, the mean of the token vectors.",
)
@click.option(
    "--vectors",
    metavar="NAME",
    help="Token vectors to start from: a file of word vectors, or the folder or hub name of a "
    "model.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Learning rate. By default one of five is chosen on held-out texts.",
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the texts, by default 4 to 10.")
@click.option("--batch-size", type=click.IntRange(4), help="Texts a batch, by default 64 or 256.")
@click.option("--min-freq", type=click.IntRange(1), help="Leave out words that are rarer.")
@click.option("--max-size", type=click.IntRange(1), help="Keep at most this many words.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same model. Default: 0.")
@click.option("--device", metavar="auto|cpu|cuda", help="Where to train. Default: auto.")
def train(table: Source, out: str, settings: tuple[tuple[str, Any], ...], **given: Any) -> None:
    """Learn embeddings from the labelled texts of TABLE, and save them as a model.

    TABLE is a csv, tsv, jsonl or parquet file, or - for the standard input. Texts with an empty
    label are learnt from as texts without a label. What is not given is chosen from the texts:
    docs/estimator.md. This needs the extra train: pip install 'text-metric-learning[train]'.
    """
    from textmetric.saved import refuse_replacing

    refuse_replacing(out)
    read = table.read(unlabelled=True)
    labels = read.labels or []
    click.echo(_described(read, str(table.label)))
    from textmetric.embedder import TextEmbedder

    parameters = {name: value for name, value in given.items() if value is not None}
    with _option_names():
        embedder = TextEmbedder(
            **parameters, objective_params=dict(settings) or None, progress=sys.stderr.isatty()
        ).fit(read.texts, labels)
        embedder.save(out)
    chosen = "" if "lr" in parameters else ", chosen on held-out texts"
    lines = [("learning rate", f"{embedder.lr_:g}{chosen}")]
    if embedder.held_out_accuracy_ is not None:
        lines.append(("accuracy", f"{embedder.held_out_accuracy_:.3f} on held-out texts"))
    model = embedder.model_
    about = f"{len(model.vocabulary):,} tokens, {model.encoder.dim} numbers a text"
    lines.append(("model", f"{out}: {about}"))
    from textmetric.cli.output import aligned

    click.echo(aligned(lines))


def _described(read: Table, column: str) -> str:
    """What was read.

    Raises:
        UserError: there are not two classes, or one has a single row.
    """
    from textmetric.cli.output import aligned

    counts = Counter(label for label in read.labels or [] if label)
    rows, labelled = len(read.texts), sum(counts.values())
    if len(counts) < 2:
        has = f"one class, {next(iter(counts))!r}" if counts else "no label"
        raise UserError(
            f"{read.source} has {has} in column {column!r}, expected two classes or more: name the "
            "column of the classes with --label, or add texts of other classes"
        )
    rare, least = min(counts.items(), key=lambda item: (item[1], item[0]))
    if least < 2:
        more = sum(count < 2 for count in counts.values()) - 1
        others = f" (and {more} other classes)" if more else ""
        raise UserError(
            f"class {rare!r}{others} of {read.source} has one row, expected two or more: add rows, "
            "or leave the class out"
        )
    largest = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(5))
    more_classes = f", and {len(counts) - 5} more" if len(counts) > 5 else ""
    lines = [
        ("texts", f"{rows:,} of {read.source}"),
        ("classes", f"{len(counts)}: {largest}{more_classes}"),
    ]
    if labelled < rows:
        lines.append(("unlabelled", f"{rows - labelled:,} texts"))
    if read.dropped:
        lines.append(("left out", f"{read.dropped:,} rows with an empty text"))
    return aligned(lines)


@contextlib.contextmanager
def _option_names() -> Iterator[None]:
    """Name parameters in errors as the command line does: ``--batch-size``, not ``batch_size``."""
    try:
        yield
    except UserError as error:
        said = re.sub(r"^objective_params\.", "--set ", str(error))
        said = re.sub(r"\bobjective_params\b", "--set", said)
        options = {parameter.name: parameter.opts[0] for parameter in train.params}
        known = "|".join(name for name in options if name and name not in ("table", "out"))
        said = re.sub(rf"^({known})(?= is )", lambda found: options[found[1]], said)
        raise UserError(said) from None
