"""Progress bar in images."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.callbacks import TQDMProgressBar


class ImagesProgressBar(TQDMProgressBar):
    """Lightning's bar, showing `images_seen` out of `images`; a resumed run starts at its count."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Opens the bar."""
        super().on_train_start(trainer, pl_module)
        bar = self.train_progress_bar
        bar.unit, bar.unit_scale = "img", True
        bar.reset(pl_module.images)
        bar.initial = bar.n = bar.last_print_n = pl_module.images_seen
        bar.set_description(type(pl_module).__name__)

    def on_train_epoch_start(self, *_: Any) -> None:
        """Keeps the bar, which covers the whole training."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the bar."""
        if self._should_update(batch_idx + 1, self.train_progress_bar.total):
            self._move(pl_module.images_seen)
            if is_logged(trainer, batch_idx):  # reading values waits for the GPU
                self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Shows the last state and closes the bar."""
        self._move(pl_module.images_seen)
        super().on_train_end(trainer, pl_module)

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Removes Lightning's version number."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def _move(self, images: int) -> None:
        bar = self.train_progress_bar
        bar.n = min(images, bar.total or images)
        bar.refresh()


def is_logged(trainer: Any, step: int) -> bool:
    """Whether Lightning logs this step, counted from 0."""
    every: int = getattr(trainer, "log_every_n_steps", 50)
    return (step + 1) % every == 0
