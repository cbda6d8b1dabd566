/* x becomes the embedding of a token. Where every $tokens_per_start rows start is known; between, their lengths are
 * added up. */
static void ${name}_look_up(float *restrict x, uint32_t token)
{
    const uint32_t entry = $embedding_row;
    uint32_t e = ${embedding}_starts[entry / $tokens_per_start];
    uint32_t before, end, j;
    for (j = 0; j < $embedded; j++) {
        x[j] = 0.0f;
    }
    for (before = entry - entry % $tokens_per_start; before < entry; before++) {
        e += ${embedding}_lengths[before];
    }
    for (end = e + ${embedding}_lengths[entry]; e < end; e++) {
        x[${embedding}_places[e]] = $embedding_scale$cast${embedding}_weights[$embedding_place];
    }
}

