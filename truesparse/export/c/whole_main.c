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

#define LONGEST $longest /* steps */

/* What the model that was exported made of some $inputs_word: the $scores_name at a few places, of each step or of all. */
#define TEST_STEPS $test_steps
#define TEST_ROWS $test_rows
#define TEST_PLACES $test_places
$test_inputs
static const uint32_t test_places[TEST_PLACES] = {$test_place_list};
static const float test_scores[TEST_ROWS][TEST_PLACES] = {
$test_scores
};
$test_units
static ${name}_state state;
static float room[${upper}_STEP_FLOATS * LONGEST];
static float $scores_name[$most_scores];

${test_of_forecast}static int self_test(void)
{
    double largest = 0.0;
    unsigned failures = 0;
    size_t row, i;
    ${name}_run(&state, $test_sequence, TEST_STEPS, room, $scores_name);
    for (row = 0; row < TEST_ROWS; row++) {
        for (i = 0; i < TEST_PLACES; i++) {
            const double expected = (double)test_scores[row][i];
            const double said = (double)$scores_name[row * ${upper}_OUTPUTS + test_places[i]];
            const double difference = fabs(said - expected) / fmax($test_unit, fabs(expected));
            failures += !(difference <= 1e-5);
            largest = difference > largest ? difference : largest; /* fmax breaks GCC 12 for ARM */
        }
    }
${forecast_tested}    printf("%s: largest difference %.1e, allowed 1.0e-05\n", failures ? "failed" : "ok", largest);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int measure(long steps)
{
    const clock_t start = clock();
    long step;
    for (step = 0; step < steps; step += TEST_STEPS) {
        ${name}_run(&state, $test_sequence, TEST_STEPS, room, $scores_name);
    }
    printf("%.3f microseconds a step\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)step);
    return EXIT_SUCCESS;
}

$whole_example
