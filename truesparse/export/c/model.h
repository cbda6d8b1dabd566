/* $banner
 *
 *     ${name}_state state;                 yours, $state_bytes bytes; copy it to go on from there later
 *     float $scores_name[${upper}_OUTPUTS];
 *
 *     ${name}_init(&state);
$usage
 *     ${name}_reset(&state);               before another $text
 *
 *$reading
 * Nothing is allocated and there is no other state: ${text}s that have a state each do not disturb one another, in
 * threads neither.
 */
#ifndef ${upper}_H
#define ${upper}_H

$size_include#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

$input_size
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

$step_comment
$step_type ${name}_step(${name}_state *state, $input);

/* Write ${upper}_OUTPUTS $scores_words.$scores_note */
void ${name}_output(const ${name}_state *state, float *$scores_name);

$more_functions$forecast_declaration#ifdef __cplusplus
}
#endif

#endif
