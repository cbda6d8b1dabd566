/* The gates i, f, g, o are stacked: c = ${name}_sigmoid(f) c + ${name}_sigmoid(i) tanh(g), h = ${name}_sigmoid(o) tanh(c) */
static void ${function}(float *restrict h, float *restrict c, float *restrict gates)
{
    const float *f = gates + ${units};
    const float *g = gates + 2 * ${units};
    const float *o = gates + 3 * ${units};
    size_t j;
    ${name}_sigmoids(gates, 2 * ${units});
    for (j = 0; j < ${units}; j++) {
        c[j] = f[j] * c[j] + gates[j] * ${name}_tanh(g[j]);
    }
    for (j = 0; j < ${units}; j++) {
        h[j] = ${name}_sigmoid(o[j]) * ${name}_tanh(c[j]);
    }
}
