/* Rows of entries: row i has the lengths[i] entries that follow those of the row before.$scales_comment */
typedef struct {
    uint32_t rows;
    const $length *lengths;
    const $index *places; /* columns */
    const $weight *weights;$scales_members
} $type;

/* y += W x, of each row eight sums */
static void $function(float *restrict y, const $type *w, const float *restrict x)
{
    const $index *places = w->places;
    const $weight *weights = w->weights;
    uint32_t row;
    for (row = 0; row < w->rows; row++) {
        const $index *const end = places + w->lengths[row];
        float sum = 0.0f;
        if (w->lengths[row] >= 8) { /* else there is but the rest */
            float a[4] = {0.0f}, b[4] = {0.0f};
            size_t i;
            for (; end - places >= 8; places += 8, weights += 8) {
                const float u[4] = {x[places[0]], x[places[1]], x[places[2]], x[places[3]]};
                const float v[4] = {x[places[4]], x[places[5]], x[places[6]], x[places[7]]};
                ${upper}_EACH (i = 0; i < 4; i++) {
                    a[i] += ${cast}weights[i] * u[i];
                }
                ${upper}_EACH (i = 0; i < 4; i++) {
                    b[i] += ${cast}weights[i + 4] * v[i];
                }
            }
            for (i = 0; i < 4; i++) {
                sum += a[i] + b[i];
            }
        }
        for (; places < end; places++, weights++) {
            sum += ${cast}*weights * x[*places];
        }
        y[row] += ${scale}sum;
    }
}
