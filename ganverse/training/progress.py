"""Progress in images, which is what a training is counted in."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm


class ImagesProgressBar(TQDMProgressBar):
    """Lightning's bar over the images of the whole training; a resumed run begins where it stands."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar."""
        super().on_train_start(trainer, pl_module)
        self._begin(pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keeps the bar of modules that count images."""
        if hasattr(trainer.lightning_module, "images_seen"):
            self._begin(trainer.lightning_module)
        else:
            super().on_train_epoch_start(trainer, *_)

    def _begin(self, module: pl.LightningModule) -> None:
        seen = getattr(module, "images_seen", None)
        if not isinstance(seen, int):
            return
        bar = self.train_progress_bar
        bar.unit, bar.unit_scale = "img", True
        bar.reset(getattr(module, "images", None))
        bar.initial = bar.n = bar.last_print_n = seen
        bar.set_description(type(module).__name__)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar."""
        if not hasattr(pl_module, "images_seen"):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        elif self._should_update(batch_idx + 1, self.train_progress_bar.total):
            _move(self.train_progress_bar, int(getattr(pl_module, "images_seen", 0)))
            if is_logged(trainer, batch_idx):  # numbers of a GPU are waited for
                self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_end(self, *_: Any) -> None:
        """Shows the last state and closes the bar."""
        module = _[0].lightning_module
        if hasattr(module, "images_seen"):
            _move(self.train_progress_bar, module.images_seen)
        super().on_train_end(*_)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Without Lightning's version number."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


def is_logged(trainer: pl.Trainer, step: int) -> bool:
    """Whether Lightning fetches and logs the numbers of this step, counted from 0."""
    every: int = getattr(trainer, "log_every_n_steps", 50)
    return (step + 1) % every == 0


def _move(bar: Tqdm, images: int) -> None:
    bar.n = min(images, bar.total or images)
    bar.refresh()
