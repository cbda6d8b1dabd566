static float features[LONGEST * ${upper}_FEATURES];

/* How many steps the standard input has, ${upper}_FEATURES numbers each; 0 if there are none, or too many. */
static size_t read_all(int count, char **arguments)
{
    size_t given = 0;
    float number;
    if (count > 1) {
        fprintf(stderr, "'%s' is unknown\n", arguments[1]);
        return 0;
    }
    while (scanf("%f", &number) == 1) {
        if (given == LONGEST * ${upper}_FEATURES) {
            return 0;
        }
        features[given++] = number;
    }
    return feof(stdin) && given % ${upper}_FEATURES == 0 ? given / ${upper}_FEATURES : 0;
}

