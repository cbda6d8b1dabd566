/* y = max(y, 0) */
static void ${function}(float *y)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        if (y[j] < 0.0f) {
            y[j] = 0.0f;
        }
    }
}
