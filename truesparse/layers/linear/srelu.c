/* Lines with slopes of their own beyond two bends: p has the left bends, left slopes, right bends, right
   slopes of all units. */
static void ${function}(float *y, const float *p)
{
    size_t j;
    for (j = 0; j < ${units}; j++) {
        const float left = p[j], right = p[2 * ${units} + j];
        if (!(y[j] < right)) {
            y[j] = right + p[3 * ${units} + j] * (y[j] - right);
        } else if (y[j] < left) {
            y[j] = left + p[${units} + j] * (y[j] - left);
        }
    }
}
