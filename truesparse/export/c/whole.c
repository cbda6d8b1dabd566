/* $banner */
#include "$name.h"

#include <math.h>

/* Short loops over sums that do not depend on one another: GCC makes each one instruction if it does not unroll it. */
#if defined(__GNUC__) && !defined(__clang__)
#define ${upper}_EACH _Pragma("GCC unroll 1") for
#else
#define ${upper}_EACH for
#endif

$products
$arrays
$math
/* x becomes the embedding of a token. Where every $tokens_per_start rows start is known; between, their lengths are
 * added up. */
static void ${name}_look_up(float *restrict x, uint32_t token)
{
    const uint32_t entry = $embedding_row;
    uint32_t e = ${embedding}_starts[entry / $tokens_per_start];
    uint32_t before, end, j;
    for (j = 0; j < $inputs; j++) {
        x[j] = 0.0f;
    }
    for (before = entry - entry % $tokens_per_start; before < entry; before++) {
        e += ${embedding}_lengths[before];
    }
    for (end = e + ${embedding}_lengths[entry]; e < end; e++) {
        x[${embedding}_places[e]] = $embedding_scale$cast${embedding}_weights[$embedding_place];
    }
}

$cell
$labels_definition
int ${name}_run(${name}_state *state, const uint32_t *tokens, size_t steps, float *room, float *scores)
{
    float *from = room; /* what a layer reads, $width numbers a step, and what it makes of it */
    float *to = room + $width * steps;
    float *swap;
    size_t t, j;
    for (t = 0; t < steps; t++) {
        if (tokens[t] >= ${upper}_TOKENS) {
            return -1;
        }
    }
    if (steps == 0) {
        return -1;
    }
    for (t = 0; t < steps; t++) {
        ${name}_look_up(from + $width * t, tokens[t]);
    }
$run
    return 0;
}

$softmax
