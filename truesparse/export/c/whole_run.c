int main(int count, char **arguments)
{
    size_t steps, row;
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        return self_test();
    }
    if (count == 3 && strcmp(arguments[1], "--time") == 0 && atol(arguments[2]) > 0) {
        return measure(atol(arguments[2]));
    }
    steps = read_all(count, arguments);
    if (steps == 0) {
        fprintf(stderr, "usage: %s --self-test | --time STEPS | $arguments, of up to %d steps\n", arguments[0], LONGEST);
        return 2;
    }
    ${name}_run(&state, $sequence_name, steps, room, $scores_name);
    for (row = 0; row < $rows_said; row++) {
        print_row($scores_name + row * ${upper}_OUTPUTS);
    }
    return EXIT_SUCCESS;
}
