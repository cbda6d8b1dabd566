/* $banner */
#include "$name.h"

#include <math.h>

$each_loop
$products
$arrays
$math
$read_token$cell
$labels_definition
int ${name}_run(${name}_state *state, $sequence, size_t steps, float *room, float *$scores_name)
{
    float *from = room; /* what a layer reads, $width numbers a step, and what it makes of it */
    float *to = room + $width * steps;
    float *swap;
    size_t t, j;
    if (steps == 0) {
        return -1;
    }
$begin
$run
    return 0;
}
$softmax_function$forecast_function
