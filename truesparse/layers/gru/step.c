/* Gates r and z and what of the candidate n the reset gate multiplies are stacked, the rest of n is beside them:
 * n = tanh(candidate + ${name}_sigmoid(r) gates), h = n + ${name}_sigmoid(z) (h - n) */
static void ${function}(float *restrict h, float *restrict gates, const float *restrict candidate)
{
    const float *z = gates + ${units};
    float *n = gates + 2 * ${units};
    size_t j;
    ${name}_sigmoids(gates, 2 * ${units});
    for (j = 0; j < ${units}; j++) {
        n[j] = ${name}_tanh(candidate[j] + gates[j] * n[j]);
    }
    for (j = 0; j < ${units}; j++) {
        h[j] = n[j] + z[j] * (h[j] - n[j]);
    }
}
