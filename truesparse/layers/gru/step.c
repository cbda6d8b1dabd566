/* Gates r and z and what of the candidate n the reset gate multiplies are stacked, the rest of n is beside them:
 * n = tanh(candidate + ${name}_sigmoid(r) gates), h = n + ${name}_sigmoid(z) (h - n) */
static void ${function}(float *restrict h, const float *restrict gates, const float *restrict candidate)
{
    const float *z = gates + ${units};
    const float *m = gates + 2 * ${units};
    size_t j;
    for (j = 0; j < ${units}; j++) {
        const float n = ${name}_tanh(candidate[j] + ${name}_sigmoid(gates[j]) * m[j]);
        h[j] = n + ${name}_sigmoid(z[j]) * (h[j] - n);
    }
}
