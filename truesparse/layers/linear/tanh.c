/* y = tanh(y) */
static void ${function}(float *y)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        y[j] = ${name}_tanh(y[j]);
    }
}
