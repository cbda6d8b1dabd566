/* The gates i, f, g, o are stacked, and above them the two master gates, whose running sums of a softmax are F and
 * 1 - I: with w = F I, c = (${name}_sigmoid(f) w + F - w) c + (${name}_sigmoid(i) w + I - w) tanh(g),
 * h = ${name}_sigmoid(o) tanh(c). Each number of F and I serves the units of a chunk. */
static void ${function}(float *restrict h, float *restrict c, float *restrict gates, size_t chunks)
{
    const float *i = gates;
    const float *f = gates + ${units};
    const float *g = gates + 2 * ${units};
    const float *o = gates + 3 * ${units};
    float *master = gates + 4 * ${units};
    const float *forget = master;
    const float *add = master + chunks;
    size_t gate, j;
    for (gate = 0; gate < 2; gate++, master += chunks) {
        float largest = master[0], total = 0.0f, level = 0.0f;
        for (j = 1; j < chunks; j++) {
            largest = master[j] > largest ? master[j] : largest;
        }
        for (j = 0; j < chunks; j++) {
            master[j] = ${name}_exp(master[j] - largest);
            total += master[j];
        }
        for (j = 0; j < chunks; j++) {
            level += master[j] / total;
            master[j] = level;
        }
    }
    for (j = 0; j < ${units}; j++) {
        const size_t chunk = j / (${units} / chunks);
        const float kept = forget[chunk];
        const float added = 1.0f - add[chunk];
        const float both = kept * added;
        c[j] = (${name}_sigmoid(f[j]) * both + kept - both) * c[j]
            + (${name}_sigmoid(i[j]) * both + added - both) * ${name}_tanh(g[j]);
        h[j] = ${name}_sigmoid(o[j]) * ${name}_tanh(c[j]);
    }
}
