/* y = 1.0507 y, or 1.0507 * 1.6733 (exp(y) - 1) below 0 */
static void ${function}(float *y)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        if (y[j] < 0.0f) {
            const float t = ${name}_tanh(0.5f * y[j]);
            y[j] = 1.7580993408473766f * 2.0f * t / (1.0f - t);
        } else {
            y[j] *= 1.0507009873554805f;
        }
    }
}
