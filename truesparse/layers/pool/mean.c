/* Keep the mean of the outputs so far. */
static void ${name}_pool(${name}_state *state)
{
    const float *h = $top;
    float share;
    size_t j;
    state->steps++;
    share = 1.0f / (float)state->steps;
    for (j = 0; j < ${upper}_UNITS; j++) {
        state->pooled[j] += (h[j] - state->pooled[j]) * share;
    }
}
