"""Corrections as csv, as tasks of Label Studio and as records of Argilla."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from xml.sax.saxutils import quoteattr

from textmetric.errors import UserError, shown
from textmetric.files import as_json, reading
from textmetric.reclustering.actions import Action
from textmetric.types import PathLike

Format = Literal["csv", "label-studio", "argilla"]
FORMATS: tuple[Format, ...] = get_args(Format)

CLUSTER, NEW, NOT_HERE = "cluster", "new_cluster", "not_here"
"""What annotators are asked: where a text belongs, the name of a new cluster, and where the text
does not belong."""
_CORRECTED = "corrected"
_BY_MODEL = "textmetric"


@dataclass(frozen=True)
class Annotated:
    """Texts in clusters, and what was said of them.

    Attributes:
        texts: n texts.
        numbers: (n,) what the rows are called in files.
        clusters: (n,) where each text is.
        labels: (n,) where each belongs; "" if nobody said it.
        not_here: rows, each with the name of a cluster in which it must not be.
        must: pairs of rows.
        cannot: pairs of rows.
        ask: rows to ask about.
    """

    texts: Sequence[str]
    numbers: Sequence[int]
    clusters: Sequence[str]
    labels: Sequence[str]
    not_here: Sequence[tuple[int, str]] = ()
    must: Sequence[Sequence[int]] = ()
    cannot: Sequence[Sequence[int]] = ()
    ask: Sequence[int] = ()

    @property
    def banned(self) -> dict[int, list[str]]:
        """Rows → the clusters in which they must not be."""
        found: dict[int, list[str]] = {}
        for row, name in self.not_here:
            found.setdefault(row, []).append(name)
        return found

    @property
    def for_annotators(self) -> list[int]:
        """Rows of which something was said, in their order, then the other rows to ask about."""
        said = {row for row, name in enumerate(self.labels) if name} | self.banned.keys()
        return [*sorted(said), *(row for row in self.ask if row not in said)]


def exported(found: Annotated, form: Format) -> dict[str, bytes]:
    """The files that say what was corrected, by the end of their names.

    - ``csv``: ``.csv`` has all rows, with the columns that ``textmetric recluster`` reads;
      ``-links.csv`` has the pairs, if there are any.
    - ``label-studio``: ``.json`` has a task for each row of which something was said, annotated,
      and for each row to ask about; ``.xml`` is the labelling configuration.
    - ``argilla``: ``.json`` has the same rows as records. What was said is a suggestion by the
      agent ``corrected``, since a response needs a user of Argilla.

    Pairs are in csv alone.
    """
    if form == "csv":
        return _as_csv(found)
    if form == "label-studio":
        names = sorted({*found.clusters, *found.labels} - {""})
        return {".json": as_json(_tasks(found)), ".xml": _configuration(names).encode()}
    return {".json": as_json(_records(found))}


def imported(path: PathLike, texts: Sequence[str], numbers: Sequence[int]) -> list[Action]:
    """The corrections in a file that :func:`exported` wrote, or that an annotation tool did.

    The ending ``.csv`` means csv; ``.json`` holds tasks with ``data``, or records with ``fields``.

    Args:
        path: of the file.
        texts: n texts that were clustered; a file with another text for a row is refused.
        numbers: (n,) what their rows are called in the file.

    Raises:
        UserError: the file is missing, damaged or of another kind, names a row that is not there,
            or says two things of a row.
    """
    table = _Rows(Path(path), texts, {number: row for row, number in enumerate(numbers)})
    if table.path.suffix.lower() == ".csv":
        return list(_of_csv(table))
    with reading(path, "JSON"):
        content = json.loads(table.path.read_text(encoding="utf-8"))
    if not isinstance(content, list):
        raise UserError(f"{path} holds {shown(content)}, expected a list of tasks or records")
    return [
        action
        for number, each in enumerate(content, start=1)
        for action in _of_annotations(table, each, f"entry {number} of {path}")
    ]


@dataclass(frozen=True)
class _Rows:
    """The rows that a file may speak of."""

    path: Path
    texts: Sequence[str]
    places: Mapping[int, int]

    def place(self, number: Any, where: str, text: Any = None) -> int:
        """The place of a row, of which the file may repeat the text."""
        if type(number) is not int:
            raise UserError(f"{where} has {shown(number)} for a row: give a whole number")
        if number not in self.places:
            raise UserError(f"{where} names the row {number}, which the table of texts lacks")
        row = self.places[number]
        if text is not None and text != self.texts[row]:
            raise UserError(
                f"{where} has another text for row {number} than the table: give the file that "
                "belongs to this table"
            )
        return row


# csv


def _as_csv(found: Annotated) -> dict[str, bytes]:
    banned = found.banned
    width = max(map(len, banned.values()), default=1)
    bans = [NOT_HERE, *(f"{NOT_HERE}_{place}" for place in range(2, width + 1))]
    rows = [
        [number, text, cluster, label, *_padded(banned.get(row, []), width)]
        for row, (number, text, cluster, label) in enumerate(
            zip(found.numbers, found.texts, found.clusters, found.labels, strict=True)
        )
    ]
    files = {".csv": _table(["row", "text", CLUSTER, _CORRECTED, *bans], rows)}
    links = [
        [found.numbers[one], found.numbers[other], kind]
        for kind, pairs in (("must", found.must), ("cannot", found.cannot))
        for one, other in pairs
    ]
    return files | ({"-links.csv": _table(["row", "other", "link"], links)} if links else {})


def _padded(names: Sequence[str], width: int) -> list[str]:
    return [*names, *[""] * (width - len(names))]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _of_csv(table: _Rows) -> Iterator[Action]:
    with reading(table.path, "csv", csv.Error):
        content = table.path.read_text(encoding="utf-8-sig")
        lines = list(csv.reader(io.StringIO(content, newline=""), strict=True))
    header = lines[0] if lines else []
    links = {"row", "other", "link"} <= set(header)
    if len(set(header)) < len(header) or "row" not in header or not (links or _CORRECTED in header):
        raise UserError(
            f"{table.path} has the columns {', '.join(header) or '(none)'}, expected row, "
            f"{_CORRECTED} and {NOT_HERE}; or row, other and link"
        )
    for number, line in enumerate(lines[1:], start=1):
        where = f"row {number} of {table.path}"
        if len(line) != len(header):
            if not line:
                continue
            raise UserError(f"{where} has {len(line)} fields where {len(header)} are expected")
        fields = dict(zip(header, line, strict=True))
        row = table.place(_number(fields["row"]), where, fields.get("text"))
        if links:
            other = table.place(_number(fields["other"]), where)
            if fields["link"] not in ("must", "cannot"):
                raise UserError(f"{where} has the link {fields['link']!r}, expected must or cannot")
            yield Action("must" if fields["link"] == "must" else "cannot", (row, other))
            continue
        if fields[_CORRECTED].strip():
            yield Action("move", (row,), (fields[_CORRECTED].strip(),))
        for column in header:
            if column.startswith(NOT_HERE) and fields[column].strip():
                yield Action("not here", (row,), (fields[column].strip(),))


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 19 else text


# annotation tools


def _tasks(found: Annotated) -> list[dict[str, Any]]:
    banned = found.banned
    tasks: list[dict[str, Any]] = []
    for row in found.for_annotators:
        cluster, label = found.clusters[row], found.labels[row]
        said = [_choice(CLUSTER, [label])] if label else []
        said += [_choice(NOT_HERE, banned[row])] if row in banned else []
        task: dict[str, Any] = {
            "data": {"row": int(found.numbers[row]), "text": found.texts[row], CLUSTER: cluster}
        }
        if said:
            task["annotations"] = [{"result": said}]
        if cluster:
            task["predictions"] = [
                {"model_version": _BY_MODEL, "result": [_choice(CLUSTER, [cluster])]}
            ]
        tasks.append(task)
    return tasks


def _choice(name: str, choices: list[str]) -> dict[str, Any]:
    return {
        "from_name": name,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": choices},
    }


def _configuration(names: Sequence[str]) -> str:
    """The labelling configuration of Label Studio with these clusters."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in names)
    return (
        '<View>\n  <Text name="text" value="$text"/>\n'
        f'  <Header value="It belongs to"/>\n  <Choices name="{CLUSTER}" toName="text">\n'
        f'{choices}  </Choices>\n  <TextArea name="{NEW}" toName="text" maxSubmissions="1" '
        'placeholder="or to a new cluster"/>\n  <Header value="It does not belong to"/>\n'
        f'  <Choices name="{NOT_HERE}" toName="text" choice="multiple">\n{choices}  </Choices>\n'
        "</View>\n"
    )


def _records(found: Annotated) -> list[dict[str, Any]]:
    banned = found.banned
    records = []
    for row in found.for_annotators:
        cluster, label = found.clusters[row], found.labels[row]
        suggested: dict[str, Any] = {}
        if label:
            suggested[CLUSTER] = {"value": label, "score": None, "agent": _CORRECTED}
        elif cluster:
            suggested[CLUSTER] = {"value": cluster, "score": None, "agent": _BY_MODEL}
        if row in banned:
            suggested[NOT_HERE] = {"value": banned[row], "score": None, "agent": _CORRECTED}
        records.append(
            {
                "id": str(found.numbers[row]),
                "fields": {"text": found.texts[row]},
                "metadata": {"row": int(found.numbers[row])},
                "suggestions": suggested,
                "responses": {},
                "vectors": {},
            }
        )
    return records


def _of_annotations(table: _Rows, entry: Any, where: str) -> Iterator[Action]:
    """The corrections in a task or record."""
    if isinstance(entry, dict) and isinstance(entry.get("data"), dict):
        data = entry["data"]
        answers = list(_answers_of_task(entry, where))
    elif isinstance(entry, dict) and isinstance(entry.get("fields"), dict):
        metadata = entry.get("metadata")
        data = {**entry["fields"], **(metadata if isinstance(metadata, dict) else {})}
        answers = list(_answers_of_record(entry, where))
    else:
        raise UserError(
            f"{where} is neither a task of Label Studio nor a record of Argilla: export as JSON"
        )
    row = table.place(data.get("row"), where, data.get("text"))
    clusters = {name for question, name in answers if question != NOT_HERE}
    if len(clusters) > 1:
        one, other = sorted(clusters)[:2]
        raise UserError(f"{where} has two answers, {one!r} and {other!r}: keep one")
    for name in clusters:
        yield Action("move", (row,), (name,))
    for name in sorted({name for question, name in answers if question == NOT_HERE}):
        yield Action("not here", (row,), (name,))


Answers = Iterator[tuple[str, str]]
"""Questions, each with the name of a cluster."""


def _answers_of_task(task: Mapping[str, Any], where: str) -> Answers:
    for annotation in _list(task.get("annotations") or [], where, "annotations"):
        if not isinstance(annotation, dict):
            raise _strange(where, "annotations", annotation)
        if annotation.get("was_cancelled"):
            continue
        for result in _list(annotation.get("result") or [], where, "result"):
            value = result.get("value") if isinstance(result, dict) else None
            if not isinstance(value, dict):
                raise _strange(where, "result", result)
            question = result.get("from_name")
            if question in (CLUSTER, NOT_HERE):
                yield from _named(question, value.get("choices"), where)
            elif question == NEW:
                yield from _named(question, value.get("text"), where)


def _answers_of_record(record: Mapping[str, Any], where: str) -> Answers:
    responses, suggestions = record.get("responses") or {}, record.get("suggestions") or {}
    for name, found in (("responses", responses), ("suggestions", suggestions)):
        if not isinstance(found, dict):
            raise _strange(where, name, found)
    for question in (CLUSTER, NEW, NOT_HERE):
        answered = False
        for response in _list(responses.get(question) or [], where, "responses"):
            if not isinstance(response, dict):
                raise _strange(where, "responses", response)
            if response.get("status", "submitted") == "submitted":
                answered = True
                yield from _named(question, response.get("value"), where)
        suggestion = suggestions.get(question)
        if not answered and isinstance(suggestion, dict) and suggestion.get("agent") == _CORRECTED:
            yield from _named(question, suggestion.get("value"), where)


def _named(question: str, value: Any, where: str) -> Answers:
    """The names that answer a question: one, a list of them, or none."""
    for name in _list([value] if isinstance(value, str) else value or [], where, question):
        if not isinstance(name, str):
            raise _strange(where, question, name)
        if name.strip():
            yield question, name.strip()


def _list(value: Any, where: str, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise _strange(where, name, value)
    return value


def _strange(where: str, name: str, value: Any) -> UserError:
    return UserError(f"{where} has {shown(value)} in {name}: export as JSON, and leave it as it is")
