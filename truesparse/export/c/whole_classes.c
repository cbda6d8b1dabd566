static void print_best(size_t output)
{
$print_class
}

static void print_row(float *said)
{
    size_t i, likeliest = 0;
    ${name}_softmax(said);
    for (i = 1; i < ${upper}_OUTPUTS; i++) {
        likeliest = said[i] > said[likeliest] ? i : likeliest;
    }
    printf("%.4f ", (double)said[likeliest]);
    print_best(likeliest);
}
