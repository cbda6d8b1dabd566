/* $banner
 *
 * An example, and a test on the target:
 *
 *     cc -std=c99 -O3 -o $name main.c $name.c -lm
 *     ./$name --self-test
 *     ./$name --time 1000
 *     ./$name $arguments
 */
$include

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

$best/* What the model that was exported made of some $inputs: the $scores_name at a few places after each of them. */
#define TEST_STEPS $test_steps
#define TEST_PLACES $test_places
$test_inputs
static const uint32_t test_places[TEST_PLACES] = {$test_place_list};
static const float test_scores[TEST_STEPS][TEST_PLACES] = {
$test_scores
};
$test_units
static ${name}_state state;
static float $scores_name[${upper}_OUTPUTS];

${test_of_forecast}static int self_test(void)
{
    double largest = 0.0;
    unsigned failures = 0;
    size_t step, i;
    ${name}_init(&state);
    for (step = 0; step < TEST_STEPS; step++) {
        ${name}_step(&state, $test_array[step]);
        ${name}_output(&state, $scores_name);
        for (i = 0; i < TEST_PLACES; i++) {
            const double expected = (double)test_scores[step][i];
            const double difference = fabs((double)$scores_name[test_places[i]] - expected) / fmax($test_unit, fabs(expected));
            failures += !(difference <= 1e-5);
            largest = difference > largest ? difference : largest; /* fmax breaks GCC 12 for ARM */
        }
    }
${forecast_tested}    printf("%s: largest difference %.1e, allowed 1.0e-05\n", failures ? "failed" : "ok", largest);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int measure(long steps)
{
    clock_t start;
    long step;
    ${name}_init(&state);
    start = clock();
    for (step = 0; step < steps; step++) {
        ${name}_step(&state, $test_array[step % TEST_STEPS]);
        ${name}_output(&state, $scores_name);
$measured_softmax    }
    printf("%.${time_digits}f microseconds a $input_word\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)steps);
    return EXIT_SUCCESS;
}

$example