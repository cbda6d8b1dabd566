/* Candidate and transform gate t are stacked: h = tanh(candidate) sigmoid(t) + h (1 - sigmoid(t)) */
static void rhn(float *h, const float *gates)
{
    size_t j;
    for (j = 0; j < ${upper}_UNITS; j++) {
        const float t = sigmoid(gates[${upper}_UNITS + j]);
        h[j] = tanhf(gates[j]) * t + h[j] * (1.0f - t);
    }
}
