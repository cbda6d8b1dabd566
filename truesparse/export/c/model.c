/* $banner */
#include "$name.h"

#include <math.h>
#include <stddef.h>

$products
$arrays
static void ${name}_copy(float *y, const float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        y[i] = x[i];
    }
}

/* y = W x + bias for the embedding x of a token, W stored by columns: only those that meet a weight of x are read.
 * Where the embeddings of every $tokens_per_start tokens start is known; between, their lengths are added up. */
static void ${name}_read_token(float *y, const float *bias, uint32_t token)
{
    uint32_t e = ${name}_embedding_weight_starts[token / $tokens_per_start];
    uint32_t row, before, end, k;
    for (row = 0; row < $rows; row++) {
        y[row] = 0.0f;
    }
    for (before = token - token % $tokens_per_start; before < token; before++) {
        e += ${name}_embedding_weight_lengths[before];
    }
    for (end = e + ${name}_embedding_weight_lengths[token]; e < end; e++) {
        const uint32_t column = ${name}_embedding_weight_places[e];
        const float x = $embedding;
        for (k = ${first}_starts[column]; k < ${first}_starts[column + 1]; k++) {
            y[${first}_places[k]] += $column_product * x;
        }
    }
    for (row = 0; row < $rows; row++) {
        y[row] = $column_scale + bias[row];
    }
}

static float ${name}_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

$cell$pool_function
$labels_definition
void ${name}_init(${name}_state *state)
{
    ${name}_reset(state);
}

void ${name}_reset(${name}_state *state)
{
$reset$reset_pool
}

int ${name}_step(${name}_state *state, uint32_t token)
{
    if (token >= ${upper}_TOKENS) {
        return -1;
    }
$step$pool
    return 0;
}

void ${name}_output(const ${name}_state *state, float *scores)
{
$scores
}

void ${name}_softmax(float *scores)
{
    float largest = scores[0];
    float sum = 0.0f;
    size_t i;
    for (i = 1; i < ${upper}_OUTPUTS; i++) {
        if (scores[i] > largest) {
            largest = scores[i];
        }
    }
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        scores[i] = expf(scores[i] - largest);
        sum += scores[i];
    }
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        scores[i] /= sum;
    }
}
