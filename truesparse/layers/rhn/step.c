/* Candidate and transform gate t are stacked: h = tanh(candidate) ${name}_sigmoid(t) + h (1 - ${name}_sigmoid(t)) */
static void ${function}(float *restrict h, const float *restrict gates)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        const float t = ${name}_sigmoid(gates[${units} + j]);
        h[j] = ${name}_tanh(gates[j]) * t + h[j] * (1.0f - t);
    }
}
