"""The masked models of the baselines compute what the sparse ones do."""

from __future__ import annotations

from dataclasses import asdict, replace

import numba
import numpy as np
import pytest
from model_helpers import positions

from truesparse.bench import deployed, masked_numpy, ours, worker
from truesparse.bench.workload import Workload
from truesparse.kernels.threads import set_threads

TASKS = {
    "lm": Workload("lm", 60, 20, 24, 2, 3, 20, 9, 0.3),
    "classifier": Workload("classifier", 60, 20, 24, 2, 3, 20, 9, 0.3),
    "classifier in blocks": Workload("classifier", 40, 12, 16, 1, 2, 70, 5, 0.3),
    "unit": Workload("lm", 60, 20, 24, 2, 3, 20, 9, 0.3, pattern="unit", output_group=4),
    "classifier, unit": Workload("classifier", 60, 20, 24, 2, 3, 70, 9, 0.3, pattern="unit"),
    "dense": Workload("lm", 30, 8, 12, 1, 2, 4, 6, 1.0),
}


class Sparse:
    """The sparse model of a task, whose gradients can be looked at."""

    def __init__(self, task: Workload) -> None:
        self.model = ours.build(task)
        self._workspace = self.model.workspace(task.bptt, task.batch_size)
        self._state = self.model.zero_state(task.batch_size) if self.model.chain.per_step else None

    def loss_and_gradients(self, ids, targets):
        self.model.arena.zero_grad()
        return self.model.loss_and_gradients(ids, targets, self._workspace, self._state)


def gradients_at_weights(model, gradients):
    """Entries of dense gradients where the sparse model has a weight, and the gradients of the biases."""
    picked = {}
    for name, matrix in model.matrices.items():
        picked[name] = gradients[name][positions(matrix)]
    return picked | {name: gradients[name] for name in model.arena.bias_grads}


def check(sparse, gradients):
    mine = {name: matrix.grad for name, matrix in sparse.model.matrices.items()}
    mine |= sparse.model.arena.bias_grads
    for name, expected in gradients_at_weights(sparse.model, gradients).items():
        np.testing.assert_allclose(mine[name], expected, rtol=1e-3, atol=3e-7, err_msg=name)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_loss_and_gradients_of_masked_numpy(task):
    sparse, dense = Sparse(task), masked_numpy.MaskedNumpy(task)
    for ids, targets in task.windows()[:3]:  # the state is carried from window to window
        assert sparse.loss_and_gradients(ids, targets) == pytest.approx(
            dense.loss_and_gradients(ids, targets), rel=1e-5
        )
        check(sparse, dense.gradients)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_loss_and_gradients_of_masked_torch(task):
    torch = pytest.importorskip("torch")
    from truesparse.bench import masked_torch

    sparse, dense = Sparse(task), masked_torch.MaskedTorch(task)
    for ids, targets in task.windows()[:3]:
        loss = dense.loss_and_gradients(torch.from_numpy(ids).long(), torch.from_numpy(targets).long())
        assert sparse.loss_and_gradients(ids, targets) == pytest.approx(loss.item(), rel=1e-5)
        check(sparse, {name: parameter.grad.numpy() for name, parameter in dense.parameters.items()})


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_training_takes_the_same_course(task):
    """Twelve updates with momentum, and masks on the dense sides: the same losses."""
    sides = [ours.SparseTraining(task), masked_numpy.NumpyTraining(task)]
    try:
        from truesparse.bench import masked_torch

        masked_torch.TorchTraining(task).tune()  # with oneDNN or without: the same numbers
        sides.append(masked_torch.TorchTraining(task))
    except ImportError:
        pass
    losses = np.array([[side.step() for side in sides] for _ in range(12)])
    for column in losses.T[1:]:
        np.testing.assert_allclose(column, losses[:, 0], rtol=1e-4)
    masked = sides[1].model
    assert np.count_nonzero(masked.values[masked.masks == 0]) == 0
    assert set(sides[0].facts()) >= {"weights", "parameter_bytes", "threads", "threading_layer"}
    assert sides[1].facts()["numpy_blas"]


@pytest.fixture
def torch():
    """PyTorch, which runs on as many threads as before and with oneDNN as before."""
    torch = pytest.importorskip("torch")
    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    yield torch
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn


def course(side):
    return [side.step() for _ in range(6)]


def test_masks_of_a_full_density_change_nothing(torch):
    from truesparse.bench.masked_torch import TorchTraining

    masked = course(TorchTraining(TASKS["dense"]))
    assert course(TorchTraining(replace(TASKS["dense"], masked=False))) == masked
    assert len(set(masked)) == 6


@pytest.mark.parametrize("name", ["torch-dense", "numpy-dense"])
def test_without_masks_all_weights_learn(request, name):
    """A side named dense begins as the one with masks, and then goes its own way."""
    if name.startswith("torch"):
        request.getfixturevalue("torch")
    sides = {}
    for side in (name.partition("-")[0], name):
        sides[side] = worker.Worker()
        first = sides[side].model("step", side, asdict(TASKS["lm"]))["loss"]
        assert first == pytest.approx(ours.SparseTraining(TASKS["lm"]).step(), rel=1e-5)
    zeros = []
    for side in sides.values():
        model = side._model.model
        if name.startswith("torch"):
            weight = model.parameters["output.weight"].detach().numpy()
        else:
            weight = model.parameters["output.weight"]
        zeros.append(np.count_nonzero(weight == 0) / weight.size)
    assert zeros == [pytest.approx(0.7, abs=0.05), 0.0]


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_is_near(torch, monkeypatch, there):
    from truesparse.bench import masked_torch

    monkeypatch.setattr(masked_torch, "has_bfloat16", lambda: there)
    for name in ("lm", "classifier"):
        exact = course(masked_torch.TorchTraining(TASKS[name]))
        side = masked_torch.TorchTraining(TASKS[name], ["bf16"])
        rough = course(side)
        np.testing.assert_allclose(rough, exact, rtol=0.03)
        assert rough != exact
    assert {parameter.dtype for parameter in side.model.parameters.values()} == {torch.float32}
    assert side.facts()["bfloat16"] == ("processor" if there else "software")
    assert "bfloat16" not in masked_torch.TorchTraining(TASKS[name]).facts()


@pytest.mark.parametrize("name", ["lm", "classifier"])
def test_what_is_compiled_computes_the_same(torch, monkeypatch, name):
    """Without a compiler, which takes half a minute: a step of the cell, in a loop, and the output layer."""
    from truesparse.bench import masked_torch

    exact = course(masked_torch.TorchTraining(TASKS[name]))
    compiled, called = [], []

    def compiling(function):
        compiled.append(function.__name__)
        return lambda *arguments: called.append(function.__name__) or function(*arguments)

    monkeypatch.setattr(torch, "compile", compiling)
    np.testing.assert_allclose(course(masked_torch.TorchTraining(TASKS[name], ["compile"])), exact, rtol=1e-5)
    assert compiled == ["_cell", "_loss_of"]
    assert (called.count("_cell"), called.count("_loss_of")) == (6 * 2 * 9, 6)


def test_why_a_side_fails_is_one_sentence():
    error = RuntimeError("No working C++ compiler found: 'g++'\n\nSet TORCHDYNAMO_VERBOSE=1 for more")
    assert worker._sentence(error) == "RuntimeError: No working C++ compiler found: 'g++'"
    assert worker._sentence(ValueError()) == "ValueError: "


def test_masked_numpy_clips():
    task = TASKS["dense"]
    model = masked_numpy.MaskedNumpy(task)
    model.loss_and_gradients(*task.windows()[0])
    model.grads *= 1e4
    before, gradient = model.values.copy(), model.grads.copy()
    model.update()
    norm = np.linalg.norm(gradient.astype(np.float64))
    np.testing.assert_allclose(before - model.values, 0.1 * gradient * 10 / norm, rtol=1e-3, atol=1e-6)


def test_predictions_agree():
    task = Workload("lm", 60, 20, 24, 2, 2, 5, 1, 0.3, masked=False)
    sides = [ours.SparsePrediction(task), masked_numpy.NumpyPrediction(task)]
    try:
        from truesparse.bench import masked_torch

        sides.append(masked_torch.TorchPrediction(task))
    except ImportError:
        pass
    for _ in range(4):  # the state is carried
        first, *others = [side.step() for side in sides]
        assert first.shape == (5, 60)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-5)


def test_predictions_of_deployed_models_agree():
    task = Workload("lm", 60, 20, 24, 2, 2, 5, 1, 0.3, masked=False)
    sparse, deployed_model = ours.SparsePrediction(task), deployed.RuntimePrediction(task)
    for _ in range(4):
        np.testing.assert_allclose(deployed_model.step(), sparse.step(), rtol=1e-5, atol=1e-5)
    assert not deployed.compiles(task)
    task = replace(task, batch_size=1)
    if not deployed.compiles(task):
        pytest.skip("there is no C compiler")
    sparse, compiled = ours.SparsePrediction(task), deployed.CPrediction(task)
    for _ in range(4):
        np.testing.assert_allclose(np.log(compiled.step()), sparse.step(), rtol=1e-5, atol=1e-5)


def test_operations_and_memory_of_a_task():
    weights = {"embedding.weight": 1000, "lstm.0.weight_ih": 10, "lstm.0.weight_hh": 20, "output.weight": 5}
    lm = Workload("lm", layers=1, batch_size=3, bptt=7)
    assert lm.flops(weights) == 6 * 35 * 21
    assert Workload("classifier", layers=1, batch_size=3, bptt=7).flops(weights) == 6 * (30 * 21 + 5 * 3)
    assert Workload().dense_parameters == 66_000_000
    assert Workload().dense_bytes() > 16 * 66_000_000


def test_a_side_decides_on_its_threads_again_after_each_turn(monkeypatch):
    """A busy moment as the model is built does not decide for all turns, and the record names the threads."""
    counts = iter([1, 2, 2, 2])
    used = []

    class Trial:
        running = False

        def again(self):
            count = next(counts)
            monkeypatch.setattr(ours, "thread_count", lambda: count)

    monkeypatch.setattr(ours, "ThreadTrial", Trial)
    monkeypatch.setattr(worker, "resident_bytes", lambda: 0)
    monkeypatch.setattr(worker, "reset_peak", lambda: None)
    monkeypatch.setattr(worker, "peak_bytes", lambda: 0)
    side = worker.Worker()
    side.model("step", "ours", asdict(TASKS["lm"]))
    for _ in range(3):
        side.turn("step", 1e-9)
        used.append(ours.thread_count())
    assert used == [2, 2, 2]
    assert side.finish()["threads"] == 2


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread")
def test_a_model_may_have_all_threads_though_the_one_before_chose_one():
    side, task = worker.Worker(), asdict(TASKS["lm"])
    side.model("step", "ours", task)
    numba.set_num_threads(1)
    side.model("step", "ours", task)
    assert side._model._trial._turns[0] == set_threads(0) > 1
