"""Fine-tune on the target from one start, with every tuning, head, share and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textmetric import parallel
from textmetric.encoders import build_encoder
from textmetric.files import write_csv
from textmetric.grid import SCRATCH, SOURCE, TARGET, Arm, Family, Layout, Training
from textmetric.model import TrainedModel
from textmetric.params import Finetune, Model, Train
from textmetric.pipeline.encoder_vectors import encoder_vectors, first_two, fitting
from textmetric.text import TokenizedCorpus
from textmetric.training.device import choose_device
from textmetric.training.finetuning import TUNINGS, TransferHead, finetune
from textmetric.training.loop import warm_up

_target = parallel.kept(TokenizedCorpus.load)
_source = parallel.kept(TrainedModel.load, 8)


def finetune_seeds(
    layout: Layout,
    init: str,
    *,
    seeds: Sequence[int],
    settings: Finetune,
    model: Model,
    train: Train,
    progress: bool = True,
) -> None:
    """:func:`.finetune` with every tuning, head, share and seed, in parallel, as one table.

    The table has the columns init, tuning, tanh (true or false), share, seed and those of
    :func:`.finetune`.

    Args:
        layout: where everything is.
        init: one of :data:`textmetric.grid.INITS`.
        seeds: seed s of the fine-tuning starts from seed s of the source's arm.
        settings: of the transfer: its source arm, heads and shares, epochs and learning rate.
        model: the encoder, for scratch.
        train: batch size, optimiser, decay and device.
        progress: show a progress bar.

    Raises:
        UserError: an unknown init, or a model that is missing.
    """
    arm = None if init == SCRATCH else Arm(Family.parse(init), settings.sampler)
    device = choose_device(train.device, "params.yaml: train.device")
    jobs: list[dict[str, Any]] = [
        {
            "target": layout.split(TARGET),
            "source": None if arm is None else layout.model(Training(arm, SOURCE, seed)),
            "init": init,
            "tuning": tuning,
            "tanh": tanh,
            "share": share,
            "seed": seed,
            "settings": settings,
            "model": model,
            "train": train,
            "layout": layout,
            "device": device,
        }
        for tuning in TUNINGS
        for tanh in settings.tanh
        for share in settings.shares
        for seed in seeds
    ]
    vectors = first_two(encoder_vectors(layout, model, TARGET.role))
    warm_up(
        build_encoder(model, 2, vectors).to(device),
        TransferHead(model.dim, 2).to(device),
        train,
    )
    results = parallel.run(
        _finetune_job,
        jobs,
        workers=1 if device.type == "cuda" else None,
        files=lambda job: parallel.Files(
            [*layout.read_with(TARGET), *([job["source"]] if job["source"] else [])]
        ),
        ticks=settings.epochs,
        label=f"finetune {init}",
        unit="epoch",
        progress=progress,
    )
    write_csv(layout.transfer(init), [row for rows in results for row in rows])


def _finetune_job(job: dict[str, Any], tick: Callable[[], None]) -> list[dict[str, Any]]:
    init: str = job.pop("init")
    source: Path | None = job.pop("source")
    vectors = encoder_vectors(job.pop("layout"), job["model"], TARGET.role)
    rows = finetune(
        fitting(_target(job.pop("target")), vectors),
        None if source is None else _source(source),
        vectors=vectors,
        tick=tick,
        **job,
    )
    about = {
        "init": init,
        "tuning": job["tuning"],
        "tanh": str(job["tanh"]).lower(),
        "share": job["share"],
        "seed": job["seed"],
    }
    return [about | row for row in rows]
