/* y = W x + bias for the embedding x of a token, W stored by columns: only those that meet a weight of x are read.
 * Where every $tokens_per_start rows of embeddings start is known; between, their lengths are added up. */
static void ${function}(float *restrict y, const float *restrict bias, uint32_t token)
{
    const uint32_t entry = $embedding_row;
    uint32_t e = ${embedding}_starts[entry / $tokens_per_start];
    uint32_t row, before, end, k;
    for (row = 0; row < $rows; row++) {
        y[row] = 0.0f;
    }
    for (before = entry - entry % $tokens_per_start; before < entry; before++) {
        e += ${embedding}_lengths[before];
    }
    for (end = e + ${embedding}_lengths[entry]; e < end; e++) {
        const uint32_t column = ${embedding}_places[e];
        const float x = $embedding_scale$cast${embedding}_weights[$embedding_place];
        for (k = ${first}_starts[column]; k < ${first}_starts[column + 1]; k++) {
$column_sums
        }
    }
    for (row = 0; row < $rows; row++) {
        y[row] = ${column_scale}y[row] + bias[row];
    }
}

