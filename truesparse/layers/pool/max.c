
/* Keep the largest outputs so far. */
static void ${name}_pool(${name}_state *state)
{
    const float *h = $top;
    size_t j;
    for (j = 0; j < ${upper}_UNITS; j++) {
        if (state->steps == 0 || h[j] > state->pooled[j]) {
            state->pooled[j] = h[j];
        }
    }
    state->steps++;
}
