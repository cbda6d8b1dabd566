static void print_output(void)
{
$print_output
}

/* Features from the standard input: ${upper}_FEATURES numbers for each step. */
static int read_all(void)
{
    static float features[${upper}_FEATURES];
    size_t given = 0;
    float number;
    int found;
    ${name}_init(&state);
    while ((found = scanf("%f", &number)) == 1) {
        features[given++] = number;
        if (given == ${upper}_FEATURES) {
            given = 0;
            ${name}_step(&state, features);$print_each
        }
    }$print_end
    if (found != EOF || given != 0) {
        fputs("the input must have the same number of numbers for each step\n", stderr);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        return self_test();
    }
    if (count == 3 && strcmp(arguments[1], "--time") == 0 && atol(arguments[2]) > 0) {
        return measure(atol(arguments[2]));
    }
    if (count > 1) {
        fprintf(stderr, "usage: %s --self-test | --time STEPS | < numbers\n", arguments[0]);
        return 2;
    }
    return read_all();
}
