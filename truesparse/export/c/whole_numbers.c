static void print_row(const float *said)
{
    size_t i;
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        printf(i + 1 < ${upper}_OUTPUTS ? "%.7g " : "%.7g\n", (double)said[i]);
    }
}
