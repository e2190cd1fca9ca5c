"""The tuning loop: one for every base, method, objective and domain; Accelerate is the engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lvtune.core.autocast_weights import kept_casts
from lvtune.core.errors import TrainingError
from lvtune.core.processes import from_main, together
from lvtune.core.snapshot import snapshot
from lvtune.core.text import counted
from lvtune.data.dataset import worker_init
from lvtune.data.known_features import collate_with_marks
from lvtune.data.worker_errors import CarryErrors, collate_or_error
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.budget import Budget
from lvtune.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from lvtune.training.division import check_same_progress, divide_step
from lvtune.training.engine import make_accelerator
from lvtune.training.feature_cache import feature_cache
from lvtune.training.history import History
from lvtune.training.optim import lr_factor, lr_scales, make_optimizer, number_of_steps, param_groups, peak_lr, set_lr
from lvtune.training.progress import ProgressBar
from lvtune.training.running_mean import follow, holding
from lvtune.training.sampler import PartSampler, make_sampler
from lvtune.training.step import GradientStep, Tunable, on_device
from lvtune.training.step_guard import StepGuard
from lvtune.training.step_memory import computed_again, memory_returned, returned_memory
from lvtune.training.step_products import faster_products
from lvtune.training.watch import EmptyLoss, Watch
from lvtune.training.whole_batch import notes_on_division

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

Record = Callable[[int, dict[str, float]], None]
"""Called with a step and its figures by name."""
CHECKPOINT_SECONDS = 180.0
"""Time between two checkpoints where the options do not say how many epochs lie between them."""


def tune(
    base: Base,
    adapter: nn.Module,
    data: Dataset,
    objective: Callable[[Base, dict], Tensor],
    options: TrainOptions,
    *,
    seed: int = 0,
    device: str = "auto",
    validate: Callable[[], float] | None = None,
    validate_every: int = 1,
    checkpoint: Path | None = None,
    key: str = "",
    watch: Watch | None = None,
    label: str = "tuning",
    resume: bool = True,
    record: Record | None = None,
) -> History:
    """Tunes ``adapter`` on ``data``; it is attached while this runs and detached afterwards, whatever happens.

    Args:
        base: stays as it is.
        adapter: its trainable parameters are updated in place.
        data: items of :class:`lvtune.data.dataset.PoseDataset`; ``set_epoch`` is called before each epoch.
        objective: (base, batch) to a scalar loss; what its ``trained`` holds is trained along.
        options: resolved, see :meth:`lvtune.api.recipe.Recipe.resolved`.
        seed: of order, augmentation and dropout.
        device: see :func:`lvtune.training.engine.make_accelerator`.
        validate: called with the (averaged) adapter on; a score.
        validate_every: epochs between two calls; it is called after the last one in any case.
        checkpoint: file to resume from and to write, see ``checkpoint_every`` and :data:`CHECKPOINT_SECONDS`.
        key: identifies the run; a checkpoint of another run is not resumed.
        watch: looks at held-out frames now and then, with the (averaged) adapter on.
        label: what progress lines begin with.
        resume: False starts anew even if there is a checkpoint of this run.
        record: called after each step with its number and figures such as ``{"loss": 0.1}``.

    Raises:
        TrainingError: nothing to tune on; a loss that is not finite, stays 0 or does not depend on the adapter.
    """
    if not len(data):  # type: ignore[arg-type]
        raise TrainingError("no pictures to tune on", "at least one annotated person", "check --data")
    mode = base.training
    with together(device), attach(base, adapter, name="tuning"), use_adapter(base, "tuning"):
        accelerator = make_accelerator(device, options.precision)
        set_seed(seed)
        run = _Run(base, adapter, data, objective, options, seed=seed, accelerator=accelerator)
        run.watch, run.bar.label, run.record = watch, label, record
        run.bar.notes(run.history.lines())
        run.resume(checkpoint if resume else None, key)
        try:
            with run.less_memory():
                run.train(validate, validate_every, checkpoint, key)
            run.finish()
        finally:
            base.train(mode)
            adapter.eval()
            run.bar.close()
        run.history.seconds = run.seconds()
    return run.history


class _Run:
    """The mutable state of one :func:`tune`."""

    def __init__(
        self,
        base: Base,
        adapter: nn.Module,
        data: Dataset,
        objective: Callable[[Base, dict], Tensor],
        options: TrainOptions,
        *,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        settled: Any = options  # resolved: what the loop reads is not None
        self.base, self.adapter, self.seed, self.options = base, adapter, seed, settled
        self.objective = objective
        self.data: Any = data
        self.accelerator = accelerator
        base.to(accelerator.device)
        tunable = Tunable(base, adapter, objective)
        groups = param_groups(adapter, settled.weight_decay, lr_scales(adapter, options))
        self.trained = tunable.trained
        groups += param_groups(self.trained, settled.weight_decay) if self.trained is not None else []
        optimizer = make_optimizer(groups, settled.lr, settled.optimizer)
        self.sampler = make_sampler(self.data, settled.batch_size, seed)
        parts = options.accumulate
        # on a CPU what is kept is counted, and not what a block takes that is computed again: there auto is cautious
        again = options.checkpointing and accelerator.device.type == "cuda"
        with computed_again(base, adapter, again, options.recompute):
            division, chosen = divide_step(accelerator, tunable, data, self.sampler.batch_size, parts)
        precision = str(accelerator.mixed_precision)
        self.features = tunable.features = feature_cache(base, adapter, objective, data, options, precision=precision)
        known = None if self.features is None else self.features.data
        self.loader = DataLoader(
            CarryErrors(data if known is None else known),
            batch_sampler=PartSampler(self.sampler, division),
            collate_fn=collate_with_marks if known else collate_or_error,
            num_workers=options.workers,
            worker_init_fn=worker_init,
        )
        self.tunable, self.optimizer = accelerator.prepare(tunable, optimizer)
        faster, returned = faster_products(base, options, accelerator), returned_memory(base, options, accelerator)
        self.gradient = GradientStep(accelerator, tunable, self.tunable, division, bool(faster))
        per_epoch = len(self.sampler)
        self.total, self.lr = number_of_steps(options, per_epoch), peak_lr(options, per_epoch)
        self.epochs = min(-(-self.total // per_epoch), options.stop_after or self.total)
        self.progress, self.average, self.rate = Progress(), None, 0.0
        notes = notes_on_division(base, tunable, objective, division)
        self.history = History(lr=self.lr, division=division, decisions=[*chosen, *faster, *returned], notes=notes)
        self.bar = ProgressBar(self.total, "tuning", accelerator.is_main_process)
        self.watch: Watch | None = None
        self.record: Record | None = None
        self.empty = EmptyLoss()
        self.guard = StepGuard(base, adapter, objective, self.data, self.lr)
        self.budget = None if options.minutes is None else Budget(60 * options.minutes)
        self.bar.is_planned = self.budget is None
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.written = self.started

    def seconds(self) -> float:
        """Time of this run, parts before a resumption included."""
        return self.seconds_before + time.perf_counter() - self.started

    @contextlib.contextmanager
    def less_memory(self) -> Iterator[None]:
        """Inside, cheap activations are computed again, kept features are read, and freed memory is given back."""
        options = self.options
        known = contextlib.nullcontext() if self.features is None else self.features
        again = computed_again(self.base, self.adapter, options.checkpointing, options.recompute)
        casts = contextlib.nullcontext() if options.checkpointing else kept_casts()
        with again, known, memory_returned(self.history.decisions), casts:
            yield

    def resume(self, path: Path | None, key: str) -> None:
        """Goes on from a checkpoint of this run, if there is one."""
        if path is None:
            return
        more = {"steps": self.total, "record": History().record()}
        found = load_checkpoint(path, self.adapter, self.optimizer.optimizer, key, self.trained, **more)
        check_same_progress(None if found is None else found[0].step)
        if found is not None:
            self.progress, self.average = found
            vars(self.history).update(self.progress.history)
            self.seconds_before = self.history.seconds
            self.bar.update(self.progress.step, None)
            if self.progress.total is not None:
                self.plan(self.progress.total)
            said = f"resumed at step {self.progress.step} of {self.total} of the run in '{path.parent}'"
            self.history.notes.append(f"{said}, {self.seconds_before:.0f} s into it")
            self.bar.note(self.history.notes[-1])

    def train(
        self, validate: Callable[[], float] | None, validate_every: int, checkpoint: Path | None, key: str
    ) -> None:
        while self.progress.epoch < self.epochs:  # a time budget changes the number of epochs on the way
            epoch = self.progress.epoch
            self.epoch(epoch)
            self.progress.epoch = epoch + 1
            is_last = epoch + 1 == self.epochs
            if validate is not None and ((epoch + 1) % validate_every == 0 or is_last):
                self.validate(validate)
            if checkpoint is not None and self.is_checkpoint_due(epoch + 1, is_last):
                self.written = time.perf_counter()
                self.history.seconds = self.seconds()
                self.progress.history = self.history.record()
                if self.accelerator.is_main_process:
                    optimizer = self.optimizer.optimizer
                    state = {"progress": self.progress, "key": key, "trained": self.trained}
                    save_checkpoint(checkpoint, self.adapter, optimizer, self.average, **state)

    def is_checkpoint_due(self, epochs: int, is_last: bool) -> bool:
        """Returns True after the epochs that ``checkpoint_every`` names; without it, if much time has passed."""
        every = self.options.checkpoint_every
        if every is None:
            since = self.started if is_last else self.written
            return time.perf_counter() - since >= CHECKPOINT_SECONDS
        return bool(every) and (epochs % every == 0 or is_last)

    def epoch(self, epoch: int) -> None:
        self.base.train(True)
        self.data.set_epoch(epoch if self.features is None else self.features.start(epoch))
        self.sampler.set_epoch(epoch)
        # dropout is reseeded each epoch, so a resumed run draws what an unbroken one would
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        batches = on_device(self.loader, self.accelerator.device)
        for _ in range(len(self.sampler)):
            if self.progress.step >= self.total:
                break
            loss = self.step(islice(batches, self.gradient.division.accumulate))
            for note in () if self.features is None else self.features.new_notes():
                self.bar.note(note)
            self.progress.step += 1
            self.history.steps.append(self.progress.step)
            self.history.loss.append(loss)
            self.bar.update(self.progress.step, loss)
            if self.record is not None:
                self.record(self.progress.step, {"loss": loss, "learning rate": self.rate})
            self.fit_budget()
            self.look()
        self.base.train(False)

    def plan(self, total: int) -> None:
        """Takes another number of steps; schedule and progress follow."""
        self.total, self.bar.total, self.bar.is_planned = total, total, True
        self.epochs = min(-(-total // len(self.sampler)), self.options.stop_after or total)

    def fit_budget(self) -> None:
        """With ``minutes``: plans the steps that fit, as soon as the first ones were timed."""
        if self.budget is None or self.progress.total is not None:
            return
        fitting = from_main(self.budget.take(self.progress.step))  # each has its own clock
        if fitting is not None:
            self.progress.total = fitting
            self.plan(fitting)
            self.bar.note(
                f"{counted(self.total, 'step fits', 'steps fit')} {counted(self.options.minutes, 'minute', spec='g')}"
            )

    def look(self) -> None:
        """Lets a person see how far the held-out frames are."""
        if self.watch is None or not self.watch.is_due(self.progress.step, self.total):
            return
        with holding(self.adapter, self.average):
            self.base.train(False)
            said = self.watch.look(self.progress.step)
            self.base.train(True)
        self.history.px_steps.append(self.watch.steps[-1])
        self.history.px_mean.append(self.watch.px_mean[-1])
        if self.record is not None:
            self.record(self.progress.step, {"error on held-out frames in px": self.watch.px_mean[-1]})
        self.bar.note(f"step {self.progress.step}: {said}")

    def step(self, batches: Iterable[dict[str, Any]]) -> float:
        options = self.options
        rise = (options.warmup, options.schedule, options.warmup_steps)
        factor = lr_factor(self.progress.step, self.total, *rise)
        self.rate = self.lr * factor
        set_lr(self.optimizer.optimizer, self.rate)
        self.optimizer.zero_grad(set_to_none=True)
        got = self.gradient.backward(batches, measure_empty=not self.empty.is_full)
        self.guard.loss(got.loss, self.progress.step, self.gradient.batch, depends=got.depends)
        self.guard.gradients(self.progress.step, self.gradient.batch)
        if not self.empty.is_full:
            self.empty.add(got.empty)
            self.history.empty_loss = self.bar.empty = self.empty.mean
        if got.active is not None:
            self.history.active_negatives.append(got.active)
            self.bar.active = got.active
        if options.clip:
            self.accelerator.clip_grad_norm_(self.tunable.parameters(), options.clip)
        self.optimizer.step()
        self.update_average()
        return got.loss

    def update_average(self) -> None:
        """Takes the weights of this step into their running mean."""
        if not self.options.ema:
            return
        if self.average is None:
            self.average = snapshot(self.adapter)
        else:
            follow(self.average, self.adapter.state_dict(), self.options.ema, self.progress.step)

    def finish(self) -> None:
        """Leaves the adapter as it is to be used, and looks at it."""
        self.history.notes += [] if self.features is None else [*self.features.notes, self.features.note]
        finish = getattr(self.objective, "finish", None)
        if finish is not None:
            finish(self.adapter)
        if self.average is not None:
            self.adapter.load_state_dict(self.average)
        self.guard.end(self.progress.step, self.gradient.batch)
        self.optimizer.zero_grad(set_to_none=True)

    def validate(self, validate: Callable[[], float]) -> None:
        with holding(self.adapter, self.average):
            score = validate()
        self.history.val_steps.append(self.progress.step)
        self.history.val.append(score)
        self.bar.note(f"step {self.progress.step}: validation {score:.2f}")
