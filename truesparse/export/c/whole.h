/* $banner
 *
 *     ${name}_state state;                       yours, $state_bytes bytes
 *     float room[${upper}_STEP_FLOATS * 100];    for texts of up to 100 tokens
 *     float scores[$all_scores];
 *
 *     ${name}_run(&state, tokens, steps, room, scores);      scores of $scores_of
 *     ${name}_softmax(scores);                   turns ${upper}_OUTPUTS scores into probabilities
 *
 *$reading
 * The model reads a text in both directions, so it takes it whole: there is no function that reads one token after
 * another, as nothing can be said before the last one is known.
 *
 * Nothing is allocated, and nothing is kept from one text to the next: texts that have a state, room and scores each
 * do not disturb one another, in threads neither.
 */
#ifndef ${upper}_H
#define ${upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${upper}_TOKENS $tokens /* tokens are numbers below it */
#define ${upper}_OUTPUTS $outputs
#define ${upper}_LAYERS $layers
#define ${upper}_STEP_FLOATS $step_floats /* numbers of room for each token */

$labels_declaration
/* Where the layers compute. */
typedef struct {
$state
} ${name}_state;

/* Read a text of one token or more; write ${upper}_OUTPUTS scores of $scores_of$for_each. Returns 0, or -1 for a text
 * without tokens, or with a token out of range. */
int ${name}_run(${name}_state *state, const uint32_t *tokens, size_t steps, float *room, float *scores);

/* Turn ${upper}_OUTPUTS scores into probabilities, in place. */
void ${name}_softmax(float *scores);

#ifdef __cplusplus
}
#endif

#endif
