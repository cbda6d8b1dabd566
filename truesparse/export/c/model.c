/* $banner */
#include "$name.h"

#include <math.h>
#include <stddef.h>

$each_loop
$products
$arrays
$math
$read_token$cell$pool_function
$labels_definition
void ${name}_init(${name}_state *state)
{
    ${name}_reset(state);
}

void ${name}_reset(${name}_state *state)
{
$reset$reset_pool
}

$step_type ${name}_step(${name}_state *state, $input)
{
$check$step$pool$done
}

void ${name}_output(const ${name}_state *state, float *$scores_name)
{
$scores
}
$last_functions$forecast_function
