/* (x - mean) / scale */
static void ${function}(float *restrict y, const float *restrict x)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        y[j] = (x[j] - ${name}_standardize_mean[j]) / ${name}_standardize_scale[j];
    }
}
