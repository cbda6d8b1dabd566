/* The gates i, f, g, o are stacked: c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c) */
static void lstm(float *h, float *c, const float *gates)
{
    const float *i = gates;
    const float *f = gates + ${upper}_UNITS;
    const float *g = gates + 2 * ${upper}_UNITS;
    const float *o = gates + 3 * ${upper}_UNITS;
    size_t j;
    for (j = 0; j < ${upper}_UNITS; j++) {
        c[j] = sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanhf(g[j]);
        h[j] = sigmoid(o[j]) * tanhf(c[j]);
    }
}
