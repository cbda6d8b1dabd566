/* $banner
 *
 * An example, and a test on the target:
 *
 *     cc -std=c99 -O3 -o $name main.c $name.c -lm
 *     ./$name --self-test
 *     ./$name --time 1000
 *     ./$name TOKEN...
 */
$include

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONGEST 1000 /* tokens of a text */

/* What the model that was exported made of some tokens: the scores at a few places, of each of them or of all. */
#define TEST_STEPS $test_steps
#define TEST_ROWS $test_rows
#define TEST_PLACES $test_places
static const uint32_t test_tokens[TEST_STEPS] = {$test_tokens};
static const uint32_t test_places[TEST_PLACES] = {$test_place_list};
static const float test_scores[TEST_ROWS][TEST_PLACES] = {
$test_scores
};

static ${name}_state state;
static uint32_t tokens[LONGEST];
static float room[${upper}_STEP_FLOATS * LONGEST];
static float scores[$most_scores];

static int self_test(void)
{
    double largest = 0.0;
    unsigned failures = 0;
    size_t row, i;
    ${name}_run(&state, test_tokens, TEST_STEPS, room, scores);
    for (row = 0; row < TEST_ROWS; row++) {
        for (i = 0; i < TEST_PLACES; i++) {
            const double expected = (double)test_scores[row][i];
            const double said = (double)scores[row * ${upper}_OUTPUTS + test_places[i]];
            const double difference = fabs(said - expected) / fmax(1.0, fabs(expected));
            failures += !(difference <= 1e-5);
            largest = difference > largest ? difference : largest; /* fmax breaks GCC 12 for ARM */
        }
    }
    printf("%s: largest difference %.1e, allowed 1.0e-05\n", failures ? "failed" : "ok", largest);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int measure(long steps)
{
    const clock_t start = clock();
    long step;
    for (step = 0; step < steps; step += TEST_STEPS) {
        ${name}_run(&state, test_tokens, TEST_STEPS, room, scores);
    }
    printf("%.1f microseconds a token\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)step);
    return EXIT_SUCCESS;
}

static long token_number(const char *text)
{
$token_number
}

static void print_best(size_t output)
{
$print_output
}

int main(int count, char **arguments)
{
    int place, row;
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        return self_test();
    }
    if (count == 3 && strcmp(arguments[1], "--time") == 0 && atol(arguments[2]) > 0) {
        return measure(atol(arguments[2]));
    }
    if (count < 2 || count > LONGEST || strncmp(arguments[1], "--", 2) == 0) {
        fprintf(stderr, "usage: %s --self-test | --time STEPS | TOKEN...\n", arguments[0]);
        return 2;
    }
    for (place = 1; place < count; place++) {
        const long token = token_number(arguments[place]);
        if (token < 0 || token >= ${upper}_TOKENS) {
            fprintf(stderr, "%s: '%s' is not in the vocabulary\n", arguments[0], arguments[place]);
            return 1;
        }
        tokens[place - 1] = (uint32_t)token;
    }
    ${name}_run(&state, tokens, (size_t)count - 1, room, scores);
    for (row = 0; row < $rows_said; row++) {
        float *const own = scores + (size_t)row * ${upper}_OUTPUTS;
        size_t i, likeliest = 0;
        ${name}_softmax(own);
        for (i = 1; i < ${upper}_OUTPUTS; i++) {
            if (own[i] > own[likeliest]) {
                likeliest = i;
            }
        }
        printf("%.4f ", (double)own[likeliest]);
        print_best(likeliest);
    }
    return EXIT_SUCCESS;
}
