"""Which devices share the work, and what is said when they cannot."""

import signal
import types

import keras
import pytest
import tensorflow as tf

from keras_vit import training
from keras_vit.errors import WorkerLost
from keras_vit.training.engine import TrainStep, multi_worker
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.recipes import Recipe

TWO = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}'
CHIEF = (
    '{"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]}, '
    '"task": {"type": "worker", "index": 1}}'
)


@pytest.mark.parametrize(("text", "number", "count"), [(TWO, 1, 2), (CHIEF, 2, 3)])
def test_a_worker_knows_its_number(monkeypatch, text, number, count):
    """A chief is worker 0."""
    monkeypatch.setenv("TF_CONFIG", text)
    cluster = multi_worker.read_cluster()

    assert (number, count) == (cluster.number, len(cluster.addresses))


@pytest.mark.parametrize("text", ["two", '{"cluster": {}}', TWO.replace("1}}", "7}}")])
def test_a_damaged_cluster_is_explained(monkeypatch, text):
    """The message has what was found, an example, and the command that sets it."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="must be JSON like.*got .*--workers 2"):
        multi_worker.read_cluster()


def test_workers_that_are_not_there_are_explained(monkeypatch):
    """Without TF_CONFIG, and in a process that has computed something."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="got no TF_CONFIG. Run `keras-vit train"):
        training.choose_strategy("multi_worker")
    keras.ops.zeros(1)
    monkeypatch.setenv("TF_CONFIG", TWO)
    with pytest.raises(ValueError, match="strategy = training.choose_strategy"):
        training.choose_strategy("auto")


def test_without_a_tpu_the_way_to_one_is_told(monkeypatch):
    """The message says that there is none to be had, and what to use."""
    monkeypatch.setenv("TPU_NAME", "none")
    with pytest.raises(ValueError, match="got none .*published. Use strategy='auto'"):
        training.choose_strategy("tpu")


def test_a_tpu_is_set_up_in_order(monkeypatch):
    """Resolver, connection, initialisation, strategy."""
    calls = []

    def note(name):
        return lambda *given, **named: calls.append((name, *given, *named.values()))

    resolver = "resolver"
    monkeypatch.setenv("TPU_NAME", "tpu-1")
    monkeypatch.setattr(
        tf.distribute.cluster_resolver,
        "TPUClusterResolver",
        lambda tpu: calls.append(("resolver", tpu)) or resolver,
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", note("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", note("start"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", note("strategy"))
    training.choose_strategy("tpu")

    assert [
        ("resolver", "tpu-1"),
        ("connect", resolver),
        ("start", resolver),
        ("strategy", resolver),
    ] == calls


def test_a_strategy_is_taken_as_it_is():
    """One that was made at the beginning of a program."""
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")

    assert strategy is training.choose_strategy(strategy)


def test_pieces_that_do_not_fill_a_batch_are_refused():
    """The message has both numbers and a batch size that fits."""
    strategy = types.SimpleNamespace(num_replicas_in_sync=2)
    recipe = Recipe(name="x", batch_size=48, micro_batch=10)
    with pytest.raises(ValueError, match="of 20.*micro_batch=10, got 48.*=60"):
        strategies.check(recipe, strategy)


def test_the_worker_that_is_gone_is_named(monkeypatch):
    """And how to go on; the end of the process is given ten seconds."""
    monkeypatch.setattr(multi_worker, "place", lambda strategy: (0, 2))
    at_the_end = []
    monkeypatch.setattr(multi_worker.atexit, "register", at_the_end.append)
    text = "from /job:worker/replica:0/task:0: /job:worker/replica:0/task:1 is down"
    with pytest.raises(WorkerLost, match="worker 0 of 2: .*worker 1 does.*again"):
        with multi_worker.noticing_losses(None):
            raise tf.errors.UnavailableError(None, None, text)
    before = signal.getsignal(signal.SIGALRM)
    (leave,) = at_the_end
    leave()

    assert signal.SIG_DFL == signal.getsignal(signal.SIGALRM)
    assert 0 < signal.alarm(0) <= 10
    signal.signal(signal.SIGALRM, before)


def test_several_steps_at_once_are_traced_once(monkeypatch):
    """The graph of a step is made once, and two executions of three are six steps."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    batches = tf.data.Dataset.from_tensors((tf.ones((4, 3)), tf.zeros((4, 2)))).repeat()
    trainee, traced, judge = TrainStep(model), [], TrainStep.forward_with_loss

    def counted(*given):
        traced.append(1)
        return judge(*given)

    monkeypatch.setattr(TrainStep, "forward_with_loss", counted)
    trainee.compile(keras.optimizers.SGD(), loss="mse", steps_per_execution=3)
    trainee.build_state(batches.element_spec)
    trainee.fit(batches, steps_per_epoch=6, shuffle=False, verbose=0)

    assert 1 == len(traced)
    assert 6 == int(trainee.optimizer.iterations)


class OwnStep(keras.Model):
    """A model that wants to train itself."""

    def train_step(self, data):
        return {}


def test_a_model_with_a_step_of_its_own_is_refused():
    """The message has its class and both ways out."""
    with pytest.raises(ValueError, match="got OwnStep.*compute_loss, or call"):
        TrainStep(OwnStep())


def test_xla_does_not_go_with_determinism(monkeypatch):
    """By itself it is taken; after enable_op_determinism the message says why not."""
    one, recipe = tf.distribute.get_strategy(), Recipe(name="x", xla=True)
    strategies.check(recipe, one)
    monkeypatch.setattr(strategies, "is_deterministic", lambda: True)
    with pytest.raises(ValueError, match="got xla=True after.*Use xla=False"):
        strategies.check(recipe, one)
