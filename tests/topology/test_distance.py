import functools
from functools import partial
from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp

from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.rhn.spec import RHN
from truesparse.layers.wiring import wiring
from truesparse.sparse import Pattern
from truesparse.topology.distance import FIXED, Input, LayerWiring, topology_distance


def two_cells(vocab_size, embedding_size, hidden_size):
    return ChainSpec(
        Embedding(vocab_size, embedding_size),
        LSTM(hidden_size),
        RHN(hidden_size, depth=2),
        Softmax(vocab_size),
    )


def linear(vocab_size, embedding_size, hidden_size, tied=False):
    return ChainSpec(
        Embedding(vocab_size, embedding_size),
        LSTM(hidden_size),
        Linear(embedding_size, "relu"),
        Softmax(vocab_size, tied=tied),
    )


CHAINS = {
    "lstm": partial(language_model, layers=2),
    "tied lstm": partial(language_model, layers=1, tied=True),
    "tied lstm of two layers": partial(language_model, layers=2, tied=True),
    "rhn": partial(language_model, layers=2, cell="rhn", depth=3),
    "tied rhn": partial(language_model, layers=1, tied=True, cell="rhn", depth=3),
    "gru": partial(language_model, layers=2, cell="gru"),
    "an lstm and a rhn": two_cells,
    "both directions": partial(sequence_model, layers=2, bidirectional=True),
    "a linear layer": linear,
    "tied to a linear layer": partial(linear, tied=True),
}


def make(name):
    return CHAINS[name](vocab_size=30, embedding_size=12 if "tied" in name else 9, hidden_size=12)


def pattern(dense):
    return Pattern.from_scipy(sp.csr_array(np.asarray(dense, np.float32)))[0]


@functools.cache
def dense(pattern):
    ones = np.ones(pattern.nnz)
    return sp.csr_array((ones, pattern.indices.astype(np.int32), pattern.indptr), pattern.shape).toarray() > 0


def random_network(chain, density, seed):
    rng = np.random.default_rng(seed)
    return {matrix.name: pattern(rng.random(matrix.shape) < density) for matrix in chain.matrices}


def jaccard(first, second):
    """Distance of two sets, by their definition."""
    return 1 - len(first & second) / len(first | second) if first | second else 0.0


def order_of(item, orders, size):
    """The order of the columns of a matrix: that of its units, or of those of several layers in a row."""
    if item.source == FIXED:
        return np.arange(size)
    each = [orders.get(name, np.arange(size)) for name in item.sources]
    starts = np.cumsum([0, *map(len, each)])
    return np.concatenate([start + order for start, order in zip(starts[:-1], each, strict=True)])


def naive_distance(first, second, layer, sums, orders):
    """Mean distance of the units of a layer, with Python's sets."""
    distances = []
    for inputs in sums:
        size = dense(first[inputs[0].matrix]).shape[layer.by_column] // layer.blocks
        for gate in range(layer.blocks):
            for unit in range(size):
                partner = orders[layer.units][unit] if layer.units != FIXED else unit
                mine, theirs = set(), set()
                for item in inputs:
                    a, b = dense(first[item.matrix]), dense(second[item.matrix])
                    a, b = (a.T, b.T) if layer.by_column else (a, b)
                    mine |= {(item, int(k)) for k in np.flatnonzero(a[gate * size + unit])}
                    partner_of = dict(enumerate(order_of(item, orders, b.shape[1])))
                    row = b[gate * size + partner]
                    theirs |= {(item, k) for k in range(b.shape[1]) if row[partner_of[k]]}
                distances.append(jaccard(mine, theirs))
    return np.mean(distances)


def permuted(chain, network, rng):
    """The same network with its hidden units in another order; and the order that undoes it."""
    orders = {}
    for layer in wiring(chain):
        if layer.units != FIXED and layer.units not in orders:
            sized = network[layer.sums[0][0].matrix].shape
            orders[layer.units] = rng.permutation(sized[1] if layer.by_column else sized[0] // layer.blocks)
    result = {}
    for layer in wiring(chain):
        for item in (item for inputs in layer.sums for item in inputs):
            matrix = dense(network[item.matrix])
            matrix = matrix.T if layer.by_column else matrix
            blocks = np.split(matrix, layer.blocks)
            blocks = [block[:, order_of(item, orders, matrix.shape[1])] for block in blocks]
            if layer.units != FIXED:
                blocks = [block[orders[layer.units]] for block in blocks]
            matrix = np.concatenate(blocks)
            result[item.matrix] = pattern(matrix.T if layer.by_column else matrix)
    return result, {units: np.argsort(order) for units, order in orders.items()}


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [({1, 2, 3}, {2, 3, 4}, 0.5), (set(), set(), 0), (set(), {1}, 1), ({1, 2}, {3}, 1), ({0, 5}, {0, 5}, 0)],
)
def test_distance_of_two_sets(first, second, distance):
    rows = [np.isin(np.arange(6), list(inputs))[None] for inputs in (first, second)]
    layers = [LayerWiring("layer", FIXED, ((Input("w", FIXED),),))]
    assert topology_distance({"w": pattern(rows[0])}, {"w": pattern(rows[1])}, layers).distance == distance


@pytest.mark.parametrize("density", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_every_layer_of_a_feed_forward_network_has_the_least_distance_of_all_orders(density, seed):
    rng = np.random.default_rng(seed)
    layers = [
        LayerWiring("one", "one", ((Input("w1", FIXED),),)),
        LayerWiring("two", "two", ((Input("w2", "one"),),)),
        LayerWiring("three", FIXED, ((Input("w3", "two"),),)),
    ]
    shapes = {"w1": (5, 8), "w2": (6, 5), "w3": (4, 6)}
    first, second = (
        {name: pattern(rng.random(shape) < density) for name, shape in shapes.items()} for _ in range(2)
    )
    result = topology_distance(first, second, layers)
    if result.distance == result.unmatched:
        return
    for layer, part in zip(layers, result.layers, strict=True):
        if layer.units != FIXED:
            size = shapes[layer.sums[0][0].matrix][0]
            least = min(
                naive_distance(first, second, layer, layer.sums, {**result.orders, layer.units: order})
                for order in permutations(range(size))
            )
            assert part.distance == pytest.approx(least)
        else:
            naive = naive_distance(first, second, layer, layer.sums, result.orders)
            assert part.distance == pytest.approx(naive)
    assert result.distance == pytest.approx(np.mean([part.distance for part in result.layers]))


def test_a_recurrent_layer_comes_nearer_to_the_least_distance_of_all_orders():
    layer = LayerWiring(
        "lstm", "lstm", ((Input("ih", FIXED), Input("hh", "lstm")),), gates=("i", "f", "g", "o")
    )
    found, least, unmatched = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shapes = {"ih": (20, 6), "hh": (20, 5)}
        first, second = (
            {name: pattern(rng.random(shape) < 0.3) for name, shape in shapes.items()} for _ in range(2)
        )
        result = topology_distance(first, second, [layer])
        found.append(result.distance)
        unmatched.append(result.unmatched)
        least.append(
            min(
                naive_distance(first, second, layer, layer.sums, {"lstm": order})
                for order in permutations(range(5))
            )
        )
        assert result.distance == pytest.approx(
            naive_distance(first, second, layer, layer.sums, result.orders)
        )
    assert np.all(np.array(found) >= np.array(least) - 1e-12)
    assert np.mean(unmatched) - np.mean(found) > 0.7 * (np.mean(unmatched) - np.mean(least))


@pytest.mark.parametrize("name", CHAINS)
def test_parts_and_total_are_what_the_orders_give(name):
    chain = make(name)
    first, second = random_network(chain, 0.3, 1), random_network(chain, 0.15, 2)
    result = topology_distance(first, second, wiring(chain))
    assert result.distance < result.unmatched
    as_they_are = {units: np.arange(order.size) for units, order in result.orders.items()}
    for layer, part in zip(wiring(chain), result.layers, strict=True):
        for sums, one in (
            (layer.sums, part),
            *(
                (((item,),), matrix)
                for matrix in part.matrices
                for inputs in layer.sums
                for item in inputs
                if item.matrix == matrix.name
            ),
        ):
            assert one.distance == pytest.approx(naive_distance(first, second, layer, sums, result.orders))
            assert one.unmatched == pytest.approx(naive_distance(first, second, layer, sums, as_they_are))
            if layer.gates:
                assert list(one.per_gate) == list(
                    {"lstm": "ifgo", "gru": "rzn", "rhn": "ht"}[layer.name.partition(".")[0]]
                )
                assert np.mean(list(one.per_gate.values())) == pytest.approx(one.distance)
    assert result.distance == pytest.approx(np.mean([part.distance for part in result.layers]))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_hidden_units_does_not_count(name, seed):
    chain = make(name)
    network = random_network(chain, 0.4, seed)
    shuffled, orders = permuted(chain, network, np.random.default_rng(seed))
    result = topology_distance(network, shuffled, wiring(chain))
    assert result.distance == 0
    assert result.unmatched > 0.5
    for units, order in orders.items():
        np.testing.assert_array_equal(result.orders[units], order)


# A linear layer's unit has a dozen inputs here, too few to be told from the others by half of them.
@pytest.mark.parametrize("name", [name for name in CHAINS if "linear" not in name])
def test_units_are_found_again_when_half_of_their_connections_have_moved(name):
    rng = np.random.default_rng(0)
    chain = CHAINS[name](vocab_size=200, embedding_size=40, hidden_size=40)
    network = random_network(chain, 0.3, 1)
    shuffled, orders = permuted(chain, network, rng)
    moved = {}
    for matrix, positions in shuffled.items():
        ones = dense(positions)
        stay = ones & (rng.random(ones.shape) < 0.5)
        moved[matrix] = pattern(stay | (rng.random(ones.shape) < 0.15))
    result = topology_distance(network, moved, wiring(chain))
    for units, order in orders.items():
        np.testing.assert_array_equal(result.orders[units], order)


@pytest.mark.parametrize("name", CHAINS)
def test_a_network_is_at_distance_0_of_itself_even_where_units_are_alike(name):
    chain = make(name)
    for density in (0.02, 1.0):
        network = random_network(chain, density, 5)
        result = topology_distance(network, network, wiring(chain))
        assert result.distance == result.unmatched == 0
        assert all((order == np.arange(order.size)).all() for order in result.orders.values())


@pytest.mark.parametrize("name", CHAINS)
def test_no_array_of_the_size_of_a_weight_matrix_is_made(name, monkeypatch):
    chain = make(name)
    made = []
    original = sp.csr_array.toarray
    monkeypatch.setattr(
        sp.csr_array, "toarray", lambda self: made.append(self.shape) or original(self), raising=True
    )
    topology_distance(random_network(chain, 0.3, 1), random_network(chain, 0.3, 2), wiring(chain))
    assert set(made) <= {(12, 12), (9, 9)}


def test_layers_of_a_model_of_sequences():
    chain = sequence_model(vocab_size=0, embedding_size=5, hidden_size=12, layers=1, sparse_output=True)
    assert [(layer.name, layer.units) for layer in wiring(chain)] == [("lstm.0", "lstm.0"), ("output", FIXED)]
    first, second = random_network(chain, 0.3, 1), random_network(chain, 0.3, 2)
    assert 0 < topology_distance(first, second, wiring(chain)).distance < 1
    dense_output = sequence_model(vocab_size=9, embedding_size=5, hidden_size=12, layers=1)
    assert [layer.name for layer in wiring(dense_output)] == ["embedding", "lstm.0"]


@pytest.mark.parametrize("tied", [False, True])
def test_layers_of_a_model_without_recurrent_ones(tied):
    layers = wiring(ChainSpec(Embedding(9, 5), Softmax(9, tied=tied)))
    expected = [("embedding", "embedding"), ("output", FIXED)][: 1 if tied else 2]
    assert [(layer.name, layer.units) for layer in layers] == expected
