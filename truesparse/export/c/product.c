/* Rows of entries: row i has the lengths[i] entries that follow those of the row before.$scales_comment */
typedef struct {
    uint32_t rows;
    const $length *lengths;
    const $index *places; /* columns */
    const $weight *weights;$scales_members
} $type;

/* y += W x */
static void $function(float *y, const $type *w, const float *x)
{
    const $index *places = w->places;
    const $weight *weights = w->weights;
    uint32_t row, k = 0, end = 0;
    for (row = 0; row < w->rows; row++) {
        float sum = 0.0f;
        for (end += w->lengths[row]; k < end; k++) {
            sum += $product * x[places[k]];
        }
        y[row] += ${scale}sum;
    }
}
