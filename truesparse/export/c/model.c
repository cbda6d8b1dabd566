/* $banner */
#include "$name.h"

#include <math.h>
#include <stddef.h>

/* Line i has the entries starts[i] to starts[i + 1]. Lines are rows, and places columns, except in a matrix that
 * multiplies the embedding, which is stored by columns. $scales_comment */
typedef struct {
    uint32_t lines;
    const uint32_t *starts;
    const $index *places;
    const $weight *weights;$scales_member
} matrix;

$arrays
static void copy(float *y, const float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        y[i] = x[i];
    }
}

/* y += W x */
static void add_product(float *y, const matrix *w, const float *x)
{
    const uint32_t *starts = w->starts;
    const $index *places = w->places;
    const $weight *weights = w->weights;
    uint32_t row, k;
    for (row = 0; row < w->lines; row++) {
        float sum = 0.0f;
        for (k = starts[row]; k < starts[row + 1]; k++) {
            sum += $product * x[places[k]];
        }
        y[row] += ${scale}sum;
    }
}

/* y = W x + bias for the embedding x of a token, W stored by columns: only those that meet a weight of x are read. */
static void read_token(float *y, const matrix *w, const float *bias, uint32_t rows, uint32_t token)
{
    uint32_t row, k, e;
    for (row = 0; row < rows; row++) {
        y[row] = 0.0f;
    }
    for (e = embedding_weight.starts[token]; e < embedding_weight.starts[token + 1]; e++) {
        const uint32_t column = embedding_weight.places[e];
        const float x = $embedding;
        for (k = w->starts[column]; k < w->starts[column + 1]; k++) {
            y[w->places[k]] += $column_product * x;
        }
    }
    for (row = 0; row < rows; row++) {
        y[row] = $column_scale + bias[row];
    }
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

$cell
void ${name}_init(${name}_state *state)
{
    ${name}_reset(state);
}

void ${name}_reset(${name}_state *state)
{
    size_t layer, j;
    for (layer = 0; layer < ${upper}_LAYERS; layer++) {
        for (j = 0; j < ${upper}_UNITS; j++) {
$reset
        }
    }
}

int ${name}_step(${name}_state *state, uint32_t token)
{
    if (token >= ${upper}_TOKENS) {
        return -1;
    }
$step
    return 0;
}

void ${name}_output(const ${name}_state *state, float *scores)
{
    copy(scores, output_bias, ${upper}_OUTPUTS);
    add_product(scores, &$output, state->h[${upper}_LAYERS - 1]);
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
