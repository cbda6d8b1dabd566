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

#define BEST 5

/* What the model that was exported made of some tokens: the scores at a few places after each of them. */
#define TEST_STEPS $test_steps
#define TEST_PLACES $test_places
static const uint32_t test_tokens[TEST_STEPS] = {$test_tokens};
static const uint32_t test_places[TEST_PLACES] = {$test_place_list};
static const float test_scores[TEST_STEPS][TEST_PLACES] = {
$test_scores
};

static ${name}_state state;
static float scores[${upper}_OUTPUTS];

static int self_test(void)
{
    double largest = 0.0;
    unsigned failures = 0;
    size_t step, i;
    ${name}_init(&state);
    for (step = 0; step < TEST_STEPS; step++) {
        ${name}_step(&state, test_tokens[step]);
        ${name}_output(&state, scores);
        for (i = 0; i < TEST_PLACES; i++) {
            const double expected = (double)test_scores[step][i];
            const double difference = fabs((double)scores[test_places[i]] - expected) / fmax(1.0, fabs(expected));
            failures += !(difference <= 1e-5);
            largest = difference > largest ? difference : largest; /* fmax breaks GCC 12 for ARM */
        }
    }
    printf("%s: largest difference %.1e, allowed 1.0e-05\n", failures ? "failed" : "ok", largest);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int measure(long steps)
{
    clock_t start;
    long step;
    ${name}_init(&state);
    start = clock();
    for (step = 0; step < steps; step++) {
        ${name}_step(&state, test_tokens[step % TEST_STEPS]);
        ${name}_output(&state, scores);
        ${name}_softmax(scores);
    }
    printf("%.1f microseconds a token\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)steps);
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
    int place, best;
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        return self_test();
    }
    if (count == 3 && strcmp(arguments[1], "--time") == 0 && atol(arguments[2]) > 0) {
        return measure(atol(arguments[2]));
    }
    if (count < 2 || strncmp(arguments[1], "--", 2) == 0) {
        fprintf(stderr, "usage: %s --self-test | --time STEPS | TOKEN...\n", arguments[0]);
        return 2;
    }
    ${name}_init(&state);
    for (place = 1; place < count; place++) {
        const long token = token_number(arguments[place]);
        if (token < 0 || ${name}_step(&state, (uint32_t)token) != 0) {
            fprintf(stderr, "%s: '%s' is not in the vocabulary\n", arguments[0], arguments[place]);
            return 1;
        }
    }
    ${name}_output(&state, scores);
    ${name}_softmax(scores);
    for (best = 0; best < BEST && best < ${upper}_OUTPUTS; best++) {
        size_t i, likeliest = 0;
        for (i = 1; i < ${upper}_OUTPUTS; i++) {
            if (scores[i] > scores[likeliest]) {
                likeliest = i;
            }
        }
        printf("%.4f ", (double)scores[likeliest]);
        print_best(likeliest);
        scores[likeliest] = -1.0f;
    }
    return EXIT_SUCCESS;
}
