/* $banner
 *
 *     ${name}_state state;                       yours, $state_bytes bytes
 *     float room[${upper}_STEP_FLOATS * 100];    for ${text}s of up to 100 steps
 *     float $scores_name[$all_scores];
 *
 *     ${name}_run(&state, $sequence_name, steps, room, $scores_name);
 *$reading
 * The model reads a $text in both directions, so it takes it whole: there is no function that reads one step after
 * another, as nothing can be said before the last one is known.
 *
 * Nothing is allocated, and nothing is kept from one $text to the next: ${text}s that have a state, room and
 * $scores_name each do not disturb one another, in threads neither.
 */
#ifndef ${upper}_H
#define ${upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

$input_size
#define ${upper}_OUTPUTS $outputs
#define ${upper}_LAYERS $layers
#define ${upper}_STEP_FLOATS $step_floats /* numbers of room for each step */

$labels_declaration
/* Where the layers compute. */
typedef struct {
$state
} ${name}_state;

/* Read a $text of one step or more; write ${upper}_OUTPUTS $whole_words$for_each. Returns 0, or -1 if there is no
 * step$or_wrong.$scores_note */
int ${name}_run(${name}_state *state, $sequence, size_t steps, float *room, float *$scores_name);

$softmax_declaration$forecast_declaration#ifdef __cplusplus
}
#endif

#endif
