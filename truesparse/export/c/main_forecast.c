static int read_numbers(float *numbers, size_t count)
{
    while (count > 0 && scanf("%f", numbers) == 1) {
        numbers++;
        count--;
    }
    return count == 0;
}

/* A series from the standard input: its last ${upper}_HISTORY steps of ${upper}_COLUMNS numbers$known_read. */
static int read_series(void)
{
    float more;
    return read_numbers(history, ${upper}_HISTORY * ${upper}_COLUMNS)$and_known && scanf("%f", &more) == EOF;
}

int main(int count, char **arguments)
{
    size_t step, target;
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        return self_test();
    }
    if (count == 3 && strcmp(arguments[1], "--time") == 0 && atol(arguments[2]) > 0) {
        return measure(atol(arguments[2]));
    }
    if (count > 1) {
        fprintf(stderr, "usage: %s --self-test | --time STEPS | < series\n", arguments[0]);
        return 2;
    }
    if (!read_series()) {
        fprintf(stderr, "the input must have the last %d steps of a series, %d numbers each$known_sentence\n",
                ${upper}_HISTORY, ${upper}_COLUMNS$known_sizes);
        return EXIT_FAILURE;
    }
    make_forecast();
    for (step = 0; step < ${upper}_HORIZON; step++) {
        for (target = 0; target < ${upper}_TARGETS; target++) {
            printf(target + 1 < ${upper}_TARGETS ? "%.7g " : "%.7g\n",
                   (double)forecast[step * ${upper}_TARGETS + target]);
        }
    }
    return EXIT_SUCCESS;
}
