/* y += x */
static void ${function}(float *restrict y, const float *restrict x)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        y[j] += x[j];
    }
}
