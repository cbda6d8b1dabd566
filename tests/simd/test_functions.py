import numpy as np
import pytest
from scipy.special import expit

from truesparse.kernels.jit import jit
from truesparse.simd import vexp, vload, vsigmoid, vstore, vtanh


def make_function(function, n):
    @jit
    def apply(y, x):
        for i in range(0, x.size, n):
            vstore(y, i, function(vload(x, i, n)))

    return apply


FUNCTIONS = {
    "exp": (vexp, np.exp, (-87, 88), 1.1),
    "sigmoid": (vsigmoid, expit, (-20, 20), 3.0),
    "tanh": (vtanh, np.tanh, (-10, 10), 3.0),
}


@pytest.mark.parametrize("n", [4, 16, 20])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_in_ulp_of_float64(name, n):
    function, reference, (low, high), most = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    count = 240_000
    wide = rng.uniform(low, high, count // 2)
    small = rng.standard_normal(count // 2) * 10.0 ** rng.uniform(-6, 0.5, count // 2)
    x = np.concatenate([wide, small]).astype(np.float32)
    y = np.zeros_like(x)
    make_function(function, n)(y, x)
    exact = reference(x.astype(np.float64))
    ulp = np.abs(y - exact) / np.spacing(np.abs(exact.astype(np.float32)))
    assert ulp.max() <= most


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_at_the_ends(name):
    function, reference, _, _ = FUNCTIONS[name]
    x = np.array([-np.inf, np.inf, np.nan, 0.0], np.float32)
    y = np.zeros_like(x)
    make_function(function, 4)(y, x)
    assert np.isnan(y[2])
    assert y[3] == reference(0.0)
    if name != "exp":
        np.testing.assert_allclose(y[:2], reference(x[:2].astype(np.float64)), atol=1e-30, rtol=1e-6)
