"""What the page shows and changes: texts, clusters, a journal, a map. No web framework."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textmetric.errors import UserError
from textmetric.measures.rows import class_sums
from textmetric.reclustering.actions import Action
from textmetric.reclustering.ask import Question, questions
from textmetric.reclustering.corrections import NONE, Corrections, checked
from textmetric.reclustering.exchange import Annotated
from textmetric.reclustering.journal import Journal
from textmetric.reclustering.learn import embedded, principal
from textmetric.reclustering.seeded import Fit, to_centres
from textmetric.reclustering.turn import recluster
from textmetric.reclustering.turns import Turns, begun, refuse_other
from textmetric.reclustering.vectors import text_vectors
from textmetric.text import checked_texts
from textmetric.tsne.projection import sample_rows, tsne
from textmetric.types import Float64, Int64, PathLike

MAP_ROWS = 1500
"""About this many texts are on the map."""
LIKELIEST = 3
TYPICAL = 12
"""This many texts of a cluster are shown."""
_MAP_TICKS = 15
_MAP_SHARE = 0.3
"""Of the time of a turn, about."""


class Stopped(Exception):  # noqa: N818
    """The server ends while a turn is running."""


class Desk:
    """Texts in clusters, corrected by a person in turns.

    Every correction is in the journal of the folder before it counts. A turn runs in a thread;
    until it is done nothing can be corrected.

    Attributes:
        texts: n texts.
        numbers: (n,) what the rows are called.
        clusters: (n,) where each text is, by all that was said so far; "" for none.
        labels: (n,) where each text belongs; "" if nobody said it.
        history: of the turns that are done, see :class:`.Turns`.
        ask: the texts to ask about.
        sample: (m,) the rows on the map, ascending.
        places: (m, 2) where they are.
        revision: changes when anything else does.
        share: of the running turn that is done; None if none is running.
        failure: why the last turn failed, in a sentence; "" if it did not.
    """

    def __init__(
        self,
        texts: Sequence[str],
        clusters: Sequence[Any] | None,
        folder: PathLike,
        *,
        numbers: Sequence[int] | None = None,
        vectors: Any = None,
        **settings: Any,
    ) -> None:
        """Open a folder of turns, or begin one.

        Args:
            texts: n texts.
            clusters: (n,) where each is before the first turn; it may be None after that.
            folder: of the turns.
            numbers: (n,) what the rows are called; by default 0 … n − 1.
            vectors: see :func:`.recluster`, as for the rest.
            settings: more of its arguments.

        Raises:
            UserError: see :class:`.Journal`, or the texts lack clusters.
        """
        self.texts = checked_texts(texts)
        self.numbers = list(range(len(self.texts)) if numbers is None else numbers)
        self.folder = folder
        self.revision = 0
        self.share: float | None = None
        self.failure = ""
        self._first = clusters
        self._given = vectors
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._stopped = False
        refuse_other(folder)
        before = Turns.read(folder) if begun(folder) else None
        if before is None and clusters is None:
            raise UserError("there is no turn to go on from: give the clusters of the texts")
        self._open(before)
        try:
            self._show(before, lambda: None)
        except BaseException:
            self.journal.close()
            raise

    def _open(self, before: Turns | None) -> None:
        """Go on with the journal of the turn after those that are done."""
        clusters = list(self._first or []) if before is None else before.current
        self.journal = Journal(
            self.folder, self.texts, clusters, before=before, numbers=np.array(self.numbers)
        )
        self._changed()

    def _show(self, before: Turns | None, tick: Callable[[], object]) -> None:
        """Find out what is shown of the turns that are done."""
        said = self.journal.said
        start = checked(said.start, said.earlier)
        if before is None:
            rows = principal(text_vectors(self.texts, self._given))
            found = _as_they_are(rows, start.clusters, np.eye(rows.shape[1]), len(start.names))
            ask = questions(rows, start, found, start.names, {})
        else:
            rows = before.rows.astype(np.float64)
            if before.model is not None:
                rows = embedded(before.model, before.rows, self.texts)
            found = _as_they_are(rows, start.clusters, before.mapping, len(start.names))
            ask = [Question(*each) for each in before.history[-1]["ask"]]
        self.sample = sample_rows(found.clusters, MAP_ROWS, 0)
        self.places = tsne((rows @ found.mapping)[self.sample], tick=tick)
        self._names = start.names
        self._distances = found.distances
        self._own = self._distances[np.arange(len(rows)), found.clusters]
        self.ask = ask
        self.history = [] if before is None else before.history

    def _changed(self) -> None:
        said = self.journal.said
        self.clusters, self.labels = said.clusters, said.labels
        self.revision += 1

    # what is shown

    @property
    def sizes(self) -> dict[str, int]:
        """How many texts each cluster has, the largest first."""
        counts = Counter(name for name in self.clusters if name)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def corrected(self) -> int:
        """How many texts have a correction of their own."""
        return sum(name != "" for name in self.labels)

    def likeliest(self, row: int) -> list[str]:
        """The nearest clusters of a row as they are called now, the nearest first."""
        renamed = self.journal.said.renamed
        order = np.argsort(self._distances[row], kind="stable")
        names = (self._names[each] for each in order if np.isfinite(self._distances[row, each]))
        return list(dict.fromkeys(renamed.get(name, name) for name in names))[:LIKELIEST]

    def typical(self, cluster: str) -> list[int]:
        """Rows of a cluster: those that were corrected to it, then those nearest to its centre."""
        rows = [row for row, name in enumerate(self.clusters) if name == cluster]
        rows.sort(key=lambda row: (self.labels[row] != cluster, self._own[row]))
        return rows[:TYPICAL]

    def annotated(self) -> Annotated:
        """All that was said, for :func:`.exported`."""
        said = self.journal.said.everything
        return Annotated(
            self.texts,
            self.numbers,
            self.clusters,
            self.labels,
            [(int(row), str(name)) for row, name in said.not_here],
            np.asarray(said.must, dtype=np.int64).reshape(-1, 2).tolist(),
            np.asarray(said.cannot, dtype=np.int64).reshape(-1, 2).tolist(),
            [each.row for each in self.ask],
        )

    # what a person does

    def do(self, *actions: Action) -> list[Action]:
        """Check corrections and write them to the journal.

        Raises:
            UserError: a turn is running; or see :meth:`.Journal.add`.
        """
        if self.share is not None:
            raise UserError("a turn is running: correct more when it is done")
        news = self.journal.add(*actions)
        self._changed()
        return news

    def run(self) -> None:
        """Run the next turn in a thread.

        Raises:
            UserError: a turn is running already.
        """
        if self.share is not None:
            raise UserError("a turn is running already")
        self.share, self.failure = 0.0, ""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the turn that is running, if any."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Stop a turn that is running, and let another process have the folder."""
        self._stopped = True
        self.wait()
        self.journal.close()

    def _run(self) -> None:
        first = not self.history
        steps = iter(np.linspace(1 - _MAP_SHARE, 1, _MAP_TICKS + 1)[1:])
        self.journal.close()  # the turn reads it
        try:
            recluster(
                self.texts,
                self._first if first else None,
                Corrections(),
                vectors=self._given if first else None,
                folder=self.folder,
                numbers=self.numbers,
                tick=lambda share: self._tick((1 - _MAP_SHARE) * share),
                **self._settings,
            )
        except Stopped:
            return
        except Exception as error:
            self.failure = str(error) if isinstance(error, UserError) else (
                f"the turn failed: {type(error).__name__}, {error}"
            )  # fmt: skip
        try:
            before = Turns.read(self.folder) if begun(self.folder) else None
            self._open(before)
            if not self.failure:
                self._show(before, lambda: self._tick(next(steps, 1.0)))
        except Stopped:
            return
        except UserError as error:
            self.failure = str(error)
        self.share = None
        self.revision += 1

    def _tick(self, share: float) -> None:
        if self._stopped:
            raise Stopped
        self.share = share


def _as_they_are(rows: Float64, clusters: Int64, mapping: Float64, count: int) -> Fit:
    """The clusters as they are, with the means of their rows as centres."""
    space, placed = rows @ mapping, clusters != NONE
    sizes = np.bincount(clusters[placed], minlength=count)
    centres = class_sums(space[placed], clusters[placed], count) / np.maximum(sizes, 1)[:, None]
    filled = sizes > 0
    far = to_centres(rows, mapping, centres, filled)
    where = np.where(clusters == NONE, far.argmin(axis=1), clusters)
    return Fit(where, mapping, centres, filled, far)
