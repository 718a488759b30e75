"""The callbacks of a run, and what stands around `model.fit`: how it ends."""

import contextlib
import dataclasses

from keras_vit.progress import tell
from keras_vit.training.checkpoint.model_callbacks import KeepModels, ShowAverage
from keras_vit.training.checkpoint.resume import PassOver, passing_over
from keras_vit.training.checkpoint.state_callback import KeepState
from keras_vit.training.checkpoint.train_state import BestModel
from keras_vit.training.data.bad_images import plain_errors
from keras_vit.training.logging import logs
from keras_vit.training.logging.progress import ShowProgress
from keras_vit.training.methods import remat
from keras_vit.training.methods.early_stopping import StopEarly


class RunCallbacks:
    """The callbacks of one run; whatever happens, its files are closed and whole.

    Args:
        run: `keras_vit.training.loop.Run`.
        verbose: 0 silent, 1 a line that is renewed, 2 a line per epoch.
    """

    def __init__(self, run, verbose):
        run.folder.sweep()
        self.resumes = False  # whether the same call would go on
        state, recipe, feeds = run.state, run.recipe, run.feeds
        kept = dataclasses.replace(state, best=BestModel())  # `KeepModels` has it
        self.run, self.verbose = dataclasses.replace(run, state=kept), verbose
        progress = ShowProgress(recipe.batch_size, recipe.epochs, verbose)
        self.history = logs.WriteHistory(run.folder.history, state.history)
        self.keeper = KeepModels(run.folder, recipe.monitor, state)
        self.guard = KeepState(run, self.keeper, self.history, verbose)
        self.events = logs.WriteTensorBoard(
            run.folder.tensorboard,
            progress,
            None if state.begun else feeds.train,
            feeds.info.preprocessing,
        )
        self.own = [
            logs.LogLearningRate(),
            progress,
            self.history,
            self.events,
            self.keeper,
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
            [ShowAverage(), *first, *self.own, *rest],
            run.model,
            run.state,
            verbose=self.verbose,
            epochs=run.recipe.epochs,
            steps=run.feeds.steps,
        )

    @contextlib.contextmanager
    def to_the_end(self):
        """Around `model.fit`: begin where the run was stopped, end with all on disk."""
        model = self.run.model
        with plain_errors(), self._files_closed():
            with passing_over(model, self.run.state), remat.undone(model.inner):
                yield

    @contextlib.contextmanager
    def _files_closed(self):
        """Write what is left, whatever ends the run, and put the best weights in."""
        keeper = self.keeper
        try:
            yield
        except BaseException as err:
            self.resumes = not isinstance(err, FloatingPointError)
            self.events.on_train_end()
            try:
                self.guard.end()
            finally:
                keeper.patience.attempt(keeper.write)
            raise
        else:
            self.history.patience.insist(self.history.write)
            keeper.patience.insist(keeper.write)
            self.guard.close()
        finally:
            keeper.restore_best()
            if self.verbose:
                tell(_farewell(self.run, keeper, self.resumes))


def _farewell(run, keeper, resumes):
    """One line on where everything is, and how to resume."""
    folder = run.folder
    again = resumes and run.feeds.resumable and keeper.epochs < run.recipe.epochs
    again = ". The same call goes on from there." if again else ""
    if keeper.best.epoch is None:
        return f"Stopped in the first epoch, no best model yet: {folder.last}{again}"
    return (
        f"{keeper.epochs} of {run.recipe.epochs} epochs. Best {keeper.monitor} "
        f"{keeper.best.score:.4f}, epoch {keeper.best.epoch}: {folder.best}{again}"
    )
