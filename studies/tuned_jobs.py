"""The jobs of :mod:`studies.tuned`: a search on validation, and a training that is tested.

A search is one study of Optuna in a journal file: killed, it goes on at the next trial, and ends as
it would have without. So the sampler of each trial has a seed of its own, and a trial that was
under way counts as never begun.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.names import PACKAGES, name_of
from studies.tuned_candidates import Budget, Candidate, Range, Setting, Space, as_json
from textmetric import parallel
from textmetric.errors import UserError, needing
from textmetric.files import read_json, write_json
from textmetric.measures import retrieval
from textmetric.measures.rows import mean
from textmetric.text import LabelledTokens, TokenizedCorpus
from textmetric.training.device import choose_device
from textmetric.training.loop import one_thread

if TYPE_CHECKING:
    import optuna

MEASURE = "map_at_r"
ERROR = "error"
"""The key of the sentence that a trial failed with."""
_OF_SAMPLER = 1000
"""Apart from the streams of a training, see :mod:`textmetric.sampling.streams`."""


@dataclass(frozen=True)
class Search:
    """One search: the setting of a candidate with the best MAP@R on the validation part.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        classes: of the corpus.
        candidate: what is tuned.
        sampler: of the untuned setting, the first that is tried.
        budget: the encoder and the loop; its learning rate is that of the untuned setting.
        trials: how many settings are tried.
        seed: of each training, and of the draws of the settings, which are a stream of their own.
    """

    corpus: Path
    classes: int
    candidate: Candidate
    sampler: str
    budget: Budget
    trials: int
    seed: int

    @property
    def space(self) -> Space:
        """The values that may be chosen."""
        return self.candidate.space(self.classes)

    @property
    def default(self) -> Setting:
        """The untuned setting."""
        return self.candidate.default(self.sampler, self.budget.settings.lr)

    def key(self) -> str:
        """The name of the result: a hash of all it depends on."""
        own = {"space": as_json(self.space), "default": self.default, "trials": self.trials}
        return _key(self, own, "optuna")


@dataclass(frozen=True)
class Measurement:
    """One training with a setting that is given, measured on the test part.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        candidate: what is trained.
        setting: its values.
        budget: the encoder and the loop.
        seed: of the training.
    """

    corpus: Path
    candidate: Candidate
    setting: Setting
    budget: Budget
    seed: int

    def key(self) -> str:
        """The name of the result: a hash of all it depends on."""
        return _key(self, {"setting": self.setting})


@dataclass(frozen=True)
class Chosen:
    """What a search found.

    Attributes:
        setting: the best; None if every trial failed.
        value: its MAP@R on validation.
        tried: a setting, its value (None if it failed) and the error for each trial, in order.
    """

    setting: Setting | None
    value: float
    tried: list[dict[str, Any]]


def run_searches(
    searches: Sequence[Search], results: Path, *, progress: bool = True
) -> list[Chosen]:
    """What the searches found, in their order; those in the folder are read, the others done.

    Args:
        searches: to do, each in one process.
        results: folder of the results and journals, ``<key>.json`` and ``<key>.journal``.
        progress: whether to show a bar.

    Raises:
        UserError: Optuna is not installed, a result or journal cannot be read or written, or a
            process was killed.
    """
    with needing("a search for settings", "tuning"):
        import optuna  # noqa: F401, here so that --help does without
    files = [results / f"{search.key()}.json" for search in searches]
    parallel.finish(
        _search,
        searches,
        files,
        workers=_workers(searches),
        label="searches",
        unit="search",
        progress=progress,
    )
    found = []
    for file in files:
        read = read_json(file)
        try:
            value = math.nan if read["value"] is None else float(read["value"])
            found.append(Chosen(read["setting"], value, read["tried"]))
        except (KeyError, TypeError):
            raise UserError(f"{file} is not the result of a search: delete it") from None
    return found


def run_tested(
    jobs: Sequence[Measurement], results: Path, *, progress: bool = True
) -> list[tuple[float, str | None]]:
    """MAP@R on test (NaN if it failed) and the error of each job, in their order.

    Args:
        jobs: to do; one given twice is done once.
        results: folder of the results, ``<key>.json``.
        progress: whether to show a bar.

    Raises:
        UserError: a result cannot be read or written, or a process was killed.
    """
    files = [results / f"{job.key()}.json" for job in jobs]
    parallel.finish(
        _test,
        jobs,
        files,
        workers=_workers(jobs),
        label="tests",
        unit="training",
        progress=progress,
    )
    found = []
    for file in files:
        read = read_json(file)
        try:
            value = math.nan if read[MEASURE] is None else float(read[MEASURE])
            found.append((value, read[ERROR]))
        except (KeyError, TypeError):
            raise UserError(f"{file} is not the result of a training: delete it") from None
    return found


def _search(job: tuple[Search, Path], tick: Callable[[], None]) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    search, file = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = file.with_suffix(".journal")
    corpus = TokenizedCorpus.load(search.corpus)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(
            storage=storage, study_name=file.stem, direction="maximize", load_if_exists=True
        )
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{journal} is not a journal of Optuna: delete it") from None
    while (number := len(_finished(study))) < search.trials:
        try_next(study, search, number, corpus)
    finished = _finished(study)
    tried = [
        {"setting": trial.params, "value": trial.value, ERROR: trial.user_attrs.get(ERROR)}
        for trial in finished
    ]
    values = [-math.inf if trial.value is None else trial.value for trial in finished]
    best = int(np.argmax(values))  # the first of equals: the untuned setting if none is better
    found = tried[best] if finished[best].value is not None else {"setting": None, "value": None}
    write_json(file, {"setting": found["setting"], "value": found["value"], "tried": tried})
    tick()


def try_next(study: optuna.Study, search: Search, number: int, corpus: TokenizedCorpus) -> None:
    """Try one more setting, the untuned one first; one that fails is a failed trial.

    Args:
        study: of the search.
        search: what is trained.
        number: of the trials that are finished.
        corpus: of the search.
    """
    import optuna

    sequence = np.random.SeedSequence(search.seed, spawn_key=(_OF_SAMPLER, number))
    # a trial that was under way at a kill must not change what is drawn next
    study.sampler = optuna.samplers.TPESampler(
        seed=int(sequence.generate_state(1)[0]), constant_liar=False
    )
    if not number and not study.get_trials(
        deepcopy=False, states=(optuna.trial.TrialState.WAITING,)
    ):
        study.enqueue_trial(search.default)
    trial = study.ask()
    setting = {name: _suggested(trial, name, of) for name, of in search.space.items()}
    try:
        value = measured(
            search.candidate, corpus, "validation", setting, search.budget, search.seed
        )
    except UserError as error:
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    if math.isnan(value):
        raise UserError(
            "no validation text has another of its label, so that nothing can be chosen: raise "
            "--limit or --validation"
        )
    study.tell(trial, value)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _suggested(trial: optuna.Trial, name: str, of: Range | tuple[Any, ...]) -> Any:
    if not isinstance(of, Range):
        return trial.suggest_categorical(name, of)
    if of.whole:
        return trial.suggest_int(name, int(of.low), int(of.high), log=of.log)
    return trial.suggest_float(name, of.low, of.high, log=of.log)


def _test(job: tuple[Measurement, Path], tick: Callable[[], None]) -> None:
    tested, file = job
    corpus = TokenizedCorpus.load(tested.corpus)
    found: dict[str, Any] = {MEASURE: None, ERROR: None}
    try:
        found[MEASURE] = measured(
            tested.candidate, corpus, "test", tested.setting, tested.budget, tested.seed
        )
    except UserError as error:
        found[ERROR] = str(error)
    write_json(file, found)
    tick()


def measured(
    candidate: Candidate,
    corpus: TokenizedCorpus,
    part: str,
    setting: Setting,
    budget: Budget,
    seed: int,
) -> float:
    """MAP@R of one training on one part, ``validation`` or ``test``.

    Raises:
        UserError: the training diverged, or the embeddings collapsed.
    """
    embed = candidate.learn(corpus, setting, budget, seed)
    rows: LabelledTokens = getattr(corpus, part)
    with one_thread():
        embeddings = embed(rows.tokens)
    found = retrieval(embeddings, np.asarray(rows.labels), ks=(1,), distance=candidate.distance)
    return mean(found.map_at_r)


def _workers(jobs: Sequence[Search] | Sequence[Measurement]) -> int | None:
    devices = {choose_device(job.budget.settings.device, "train.device").type for job in jobs}
    return 1 if "cuda" in devices else None


def _key(job: Search | Measurement, own: dict[str, Any], *packages: str) -> str:
    settings = job.budget.settings
    identity = {
        "corpus": job.corpus.name,
        "candidate": [job.candidate.title, job.candidate.family, job.candidate.distance],
        "model": job.budget.model.model_dump(),
        "settings": settings.model_dump(),
        "device": choose_device(settings.device, "train.device").type,
        "seed": job.seed,
    }
    modules = ("studies.tuned_jobs", "studies.tuned_candidates", job.candidate.module)
    return name_of([identity, own], *modules, packages=[*PACKAGES, *packages])
