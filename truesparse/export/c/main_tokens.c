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
