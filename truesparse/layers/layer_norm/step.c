/* y = scale (x - mean) / sqrt(variance + epsilon) + bias */
static void ${function}(
    float *restrict y, const float *restrict x, const float *scale, const float *bias, float epsilon)
{
    const float mean = ${name}_mean(x, ${units});
    float deviation;
    size_t j;
    for (j = 0; j < ${units}; j++) {
        y[j] = (x[j] - mean) * (x[j] - mean);
    }
    deviation = sqrtf(${name}_mean(y, ${units}) + epsilon);
    for (j = 0; j < ${units}; j++) {
        y[j] = (x[j] - mean) / deviation * scale[j] + bias[j];
    }
}
