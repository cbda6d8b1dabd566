static uint32_t tokens[LONGEST];

static long token_number(const char *text)
{
$token_number
}

/* How many tokens there are; 0 if there are none, too many, or some that the model does not know. */
static size_t read_all(int count, char **arguments)
{
    int place;
    if (count > LONGEST || (count > 1 && strncmp(arguments[1], "--", 2) == 0)) {
        return 0;
    }
    for (place = 1; place < count; place++) {
        const long token = token_number(arguments[place]);
        if (token < 0 || token >= ${upper}_TOKENS) {
            fprintf(stderr, "'%s' is not in the vocabulary\n", arguments[place]);
            return 0;
        }
        tokens[place - 1] = (uint32_t)token;
    }
    return (size_t)count - 1;
}

