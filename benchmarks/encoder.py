"""A sparse encoder as masked language model against a dense one of PyTorch, on one thread.

``python benchmarks/encoder.py step`` times steps of both in turn: the dense one is PyTorch's with its
gradients masked after each backward pass. ``python benchmarks/encoder.py race --data FOLDER --out FILE``
trains a dense model of PyTorch and RigL at several densities from the same text, batches and hidden words,
and writes a line of JSON for each measurement of the validation loss. Time is that of the processor
(`time.process_time`), which other programs on the machine change little; measurements are not part of it.

Needs PyTorch. Start with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from truesparse.data.batches import Batch
from truesparse.kernels.threads import set_threads
from truesparse.layers.chain import ChainSpec
from truesparse.model import Model, random_model
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.tasks.sources import resolve
from truesparse.training.build import build_model, build_training
from truesparse.training.state import make_generators
from truesparse.training.tokens import token_rows
from truesparse.training.training import Training

# Flags and their types: those of both sides, and those of a sparse model alone.
BOTH: dict[str, type] = {
    **{"data": str, "hidden_size": int, "layers": int, "heads": int, "vocabulary": int, "length": int},
    **{"batch_size": int, "seed": int, "lr": float, "weight_decay": float, "token_scale": float},
}
SPARSE: dict[str, type] = {
    **{"distribution": str, "method": str, "drop_fraction": float, "update_interval": int},
    **{"dropout": float, "embedding_density": float, "rank_exponent": float},
}
# Records have these only of runs that were given them.
RARE = ("drop_fraction", "update_interval", "weight_decay", "token_scale")
RARE += ("dropout", "embedding_density", "rank_exponent")


class Dense(torch.nn.Module):
    """The encoder of a chain with PyTorch's own layers, and the first weights of a dense model of ours."""

    def __init__(self, model: Model, config: MaskedConfig) -> None:
        super().__init__()
        size, tokens = config.hidden_size, model.chain.tokens
        self.embedding = torch.nn.Embedding(tokens, size)
        self.positions = torch.nn.Embedding(config.length, size)
        wide = config.feed_forward or 4 * size
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(size, config.heads, wide, 0.0, norm_first=True)
            for _ in range(config.layers)
        )
        self.norm, self.output = torch.nn.LayerNorm(size), torch.nn.Linear(size, tokens)
        named = {"embedding": self.embedding, "positions": self.positions, "output": self.output}
        for number, block in enumerate(self.blocks):
            for place, layer in {
                "attention.0.weight_in": block.self_attn.in_proj_weight,
                "attention.0.weight_out": block.self_attn.out_proj.weight,
            }.items():
                _fill(layer, model.matrices[f"residual.{2 * number}.{place}"].to_scipy().toarray())
            for place, layer in enumerate((block.linear1, block.linear2)):
                name = f"residual.{2 * number + 1}.linear.{place}.weight"
                _fill(layer.weight, model.matrices[name].to_scipy().toarray())
                torch.nn.init.zeros_(layer.bias)
        for name, layer in named.items():
            values = model.arena.biases.get(f"{name}.weight")
            if values is None:
                values = model.matrices[f"{name}.weight"].to_scipy().toarray()
            _fill(layer.weight, values)
        torch.nn.init.zeros_(self.output.bias)

    def loss(self, batch: Batch) -> torch.Tensor:
        """The mean cross-entropy of the hidden tokens, of which alone there are scores."""
        ids, targets = torch.from_numpy(batch.inputs).long(), torch.from_numpy(batch.targets).long()
        x = self.embedding(ids.clamp(min=0)) + self.positions(torch.arange(len(ids)))[:, None]
        padding = (ids < 0).T if (batch.inputs < 0).any() else None
        for block in self.blocks:
            x = block(x, src_key_padding_mask=padding)
        told = targets >= 0
        return torch.nn.functional.cross_entropy(self.output(self.norm(x[told])), targets[told])


class DenseTraining:
    """Steps of PyTorch's Adam; with `density` gradients and weights are masked, as sparse training is often
    simulated."""

    def __init__(self, model: Model, config: MaskedConfig, density: float = 1.0) -> None:
        told = config.optimizer_settings
        self.network, self._clip, self.density = Dense(model, config), told.clip, density
        self._optimizer = torch.optim.Adam(self.network.parameters(), told.lr, weight_decay=told.weight_decay)
        self._masks = []
        for weight in self.network.parameters():
            if density < 1 and weight.ndim == 2 and weight is not self.network.positions.weight:
                mask = (torch.rand(weight.shape) < density).float()
                self._masks.append((weight, mask))
                with torch.no_grad():
                    weight *= mask

    def step(self, batch: Batch) -> None:
        """Learn from a batch."""
        self._optimizer.zero_grad()
        self.network.loss(batch).backward()
        for weight, mask in self._masks:
            assert weight.grad is not None
            weight.grad *= mask
        if self._clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._optimizer.step()
        with torch.no_grad():
            for weight, mask in self._masks:
                weight *= mask

    def measure(self, batches: list[Batch]) -> float:
        """The mean loss."""
        with torch.no_grad():
            losses = [float(self.network.loss(batch)) * batch.counted for batch in batches]
        return sum(losses) / sum(batch.counted for batch in batches)


class SparseTraining:
    """Steps of a run of truesparse."""

    def __init__(self, config: MaskedConfig, task: Any, planned: int) -> None:
        generators = make_generators(config.seed)
        self.model, _ = build_model(config, task.chain, task.train, generators["initial"])
        self._training: Training = build_training(
            config, self.model, generators, task.chain, len(task.train), planned
        )
        self._workspace = self.model.workspace(config.length, config.batch_size)
        self.step, self.evolve = self._training.step, self._training.evolve

    @property
    def density(self) -> float:
        """Which fraction of the positions holds a weight now."""
        return self.model.density

    def measure(self, batches: list[Batch]) -> float:
        """The mean loss."""
        losses = [
            self.model.loss(b.inputs, b.targets, self._workspace, lengths=b.lengths) * b.counted
            for b in batches
        ]
        return sum(losses) / sum(batch.counted for batch in batches)


def _fill(to: torch.Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        to.copy_(torch.from_numpy(np.asarray(values, np.float32)).reshape(to.shape))


def _config(given: argparse.Namespace, density: float, **more: Any) -> MaskedConfig:
    names = [*BOTH, *(SPARSE if density < 1 else ())]
    values = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    values |= {"density": density, "threads": 1, "preset": "mlm-20min", **more}
    return resolve(values, environment={}, task=MaskedConfig).filled()


def _dense_model(chain: ChainSpec, config: MaskedConfig) -> Model:
    rows = token_rows(config, sparse=False)
    return random_model(chain, 1.0, np.random.default_rng(config.seed), tokens=rows)


def step(given: argparse.Namespace) -> None:
    """Print the median of the ratios of steps made in turn."""
    for density in given.densities:
        config = _config(given, density, method="static")
        task: Any = config.make_task()
        ours = SparseTraining(config, task, 1000)
        theirs = DenseTraining(_dense_model(task.chain, config), config, density)
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for k in range(given.rounds + 3):
            batch = task.train.batch(0, k)
            for name, side in (("ours", ours), ("theirs", theirs)):
                began = time.process_time()
                side.step(batch)
                times[name].append(time.process_time() - began)
        own, other = (np.array(times[name][3:]) for name in ("ours", "theirs"))
        record = {
            "density": density,
            "ours_ms": 1000 * statistics.median(own),
            "masked_torch_ms": 1000 * statistics.median(other),
            "ratio": statistics.median(other / own),
        }
        print(json.dumps(record), flush=True)


def _chosen(config: MaskedConfig, given: argparse.Namespace) -> dict[str, Any]:
    """What a record says of a run."""
    told = config.optimizer_settings
    return {
        "lr": told.lr,
        "method": config.method,
        "distribution": config.distribution,
        "seed": config.seed,
        **{name: getattr(given, name) for name in RARE if getattr(given, name) is not None},
    }


def race(given: argparse.Namespace) -> None:
    """Train each model for as many steps, one after the other."""
    for density in given.densities:
        config = _config(given, density, **({"method": "dense"} if density == 1 else {}))
        task: Any = config.make_task()
        valid = [
            task.parts["valid"].batch(0, k) for k in range(min(given.measured, len(task.parts["valid"])))
        ]
        runner: Any
        if density == 1:
            runner = DenseTraining(_dense_model(task.chain, config), config)
        else:
            SparseTraining(config, task, given.steps).step(task.train.batch(0, 0))  # compiles
            runner = SparseTraining(config, task, given.steps)
        seconds = net_seconds = 0.0
        with given.out.open("a") as out:
            for number in range(given.steps):
                batch = task.train.batch(*divmod(number, len(task.train)))
                began = time.process_time()
                runner.step(batch)
                measured = (number + 1) % given.interval == 0
                if measured and density < 1:
                    runner.evolve()
                took = time.process_time() - began
                seconds, net_seconds = seconds + took, net_seconds + took * runner.density
                if measured:
                    record = {
                        "density": density,
                        **_chosen(config, given),
                        "step": number + 1,
                        "seconds": seconds,
                        "net_seconds": net_seconds,
                        "loss": runner.measure(valid),
                    }
                    out.write(json.dumps(record) + "\n")
                    out.flush()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("step", "race"))
    for name, kind in (BOTH | SPARSE).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.2, 0.05])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--interval", type=int, default=100)
    parser.add_argument("--measured", type=int, default=40, help="batches of the validation text")
    parser.add_argument("--out", type=Path, default=Path("encoder.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(1)
    (step if given.what == "step" else race)(given)


if __name__ == "__main__":
    main()
