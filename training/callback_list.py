"""What stands around `model.fit`: who listens to a run, and how it ends."""

import contextlib

from keras_vit.training.checkpoint import model_callbacks as watchers
from keras_vit.training.checkpoint.resume import PassOver, passing_over
from keras_vit.training.checkpoint.retry_write import tell
from keras_vit.training.checkpoint.state_callback import KeepState
from keras_vit.training.logging import logs
from keras_vit.training.logging.progress import ShowProgress
from keras_vit.training.methods.early_stopping import StopEarly


class Watch:
    """The callbacks of one run; whatever happens, its files are closed and whole.

    Args:
        run: `keras_vit.training.loop.Run`.
        verbose: 0 silent, 1 a line that is renewed, 2 a line per epoch.
    """

    def __init__(self, run, verbose):
        self.run, self.verbose = run, verbose
        run.folder.sweep()
        self.resumes = False  # whether the same call would go on
        facts, recipe, feeds = run.facts, run.recipe, run.feeds
        self.epoch, self.done = facts.get("epochs", 0), facts.get("step", 0)
        progress = ShowProgress(recipe.batch_size, recipe.epochs, verbose)
        history = run.folder.history
        self.history = logs.WriteHistory(history, facts.get("history", {}))
        self.guard = KeepState(
            run.folder, run.keeper, self.history, feeds, recipe, facts, verbose
        )
        self.events = logs.WriteTensorBoard(
            run.folder.tensorboard,
            progress,
            None if facts else feeds.train,
            feeds.info.preprocessing,
        )
        self.own = [
            logs.LogLearningRate(),
            progress,
            self.history,
            self.events,
            run.keeper,
            self.guard,
            StopEarly(self.history, recipe.monitor, recipe.patience, verbose),
        ]

    def callbacks(self, more):
        """All callbacks, for `model.fit`.

        Args:
            more: those of the user; the ones that add scores come first.
        """
        run = self.run
        first = [c for c in more if getattr(c, "adds_scores", False)]
        rest = [c for c in more if c not in first]
        return PassOver(
            [watchers.ShowAverage(), *first, *self.own, *rest],
            run.model,
            self.done,
            run.arrays,
            verbose=self.verbose,
            epochs=run.recipe.epochs,
            steps=run.feeds.steps,
        )

    @contextlib.contextmanager
    def to_the_end(self):
        """Around `model.fit`: begin where the run was stopped, end with all on disk."""
        run = self.run
        try:
            with passing_over(run.model, self.done, run.facts.get("logs")):
                yield
        except BaseException as err:
            self.resumes = not isinstance(err, FloatingPointError)
            self.events.on_train_end()
            try:
                self.guard.end()
            finally:
                run.keeper.patience.attempt(run.keeper.write)
            raise
        else:
            self.history.patience.insist(self.history.write)
            run.keeper.patience.insist(run.keeper.write)
            self.guard.close()
        finally:
            run.keeper.restore_best()
            if self.verbose:
                tell(_farewell(run, self.resumes))


def _farewell(run, resumes):
    """One line on where everything is, and how to go on."""
    keeper, folder = run.keeper, run.folder
    again = resumes and run.feeds.resumable and keeper.epochs < run.recipe.epochs
    again = ". The same call goes on from there." if again else ""
    if keeper.best_epoch is None:
        return f"Stopped in the first epoch, no best model yet: {folder.last}{again}"
    return (
        f"{keeper.epochs} of {run.recipe.epochs} epochs. Best {keeper.monitor} "
        f"{keeper.best_score:.4f}, epoch {keeper.best_epoch}: {folder.best}{again}"
    )
