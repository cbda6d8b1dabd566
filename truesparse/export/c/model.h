/* $banner
 *
 *     ${name}_state state;                 yours, $state_bytes bytes; copy it to go on from there later
 *     float scores[${upper}_OUTPUTS];
 *
 *     ${name}_init(&state);
 *     ${name}_step(&state, token);         for each token of a text in turn
 *     ${name}_output(&state, scores);      scores of $scores_of
 *     ${name}_softmax(scores);             turns scores into probabilities
 *     ${name}_reset(&state);               before another text
 *
 *$reading
 * Nothing is allocated and there is no other state: texts that have a state each do not disturb one another, in
 * threads neither.
 */
#ifndef ${upper}_H
#define ${upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${upper}_TOKENS $tokens /* tokens are numbers below it */
#define ${upper}_OUTPUTS $outputs
#define ${upper}_LAYERS $layers
#define ${upper}_UNITS $units

$labels_declaration
typedef struct {
$state
} ${name}_state;

/* Begin. */
void ${name}_init(${name}_state *state);

/* Forget what was read. */
void ${name}_reset(${name}_state *state);

/* Read a token. Returns 0, or -1 for a token out of range, which leaves the state as it was. */
int ${name}_step(${name}_state *state, uint32_t token);

/* Write ${upper}_OUTPUTS scores of $scores_of. */
void ${name}_output(const ${name}_state *state, float *scores);

/* Turn ${upper}_OUTPUTS scores into probabilities, in place. */
void ${name}_softmax(float *scores);

#ifdef __cplusplus
}
#endif

#endif
