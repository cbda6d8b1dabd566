static float history[${upper}_HISTORY * ${upper}_COLUMNS];
static float forecast[${upper}_HORIZON * ${upper}_TARGETS];
$known_array/* What the model that was exported forecast of a series that test_number makes. */
static const float test_forecast[${upper}_HORIZON * ${upper}_TARGETS] = {
$test_forecast
};

static void make_forecast(void)
{
    ${name}_forecast(&state, history$known_argument$room_argument, forecast);
}

static float test_number(size_t place, size_t column)
{
    static const float mean[] = {$means};
    static const float scale[] = {$scales};
    return mean[column] + scale[column] * ((float)((uint32_t)(place % 2001u) * 7919u % 2001u) / 1000.0f - 1.0f);
}

static unsigned test_of_forecast(double *largest)
{
    unsigned failures = 0;
    size_t i;
    for (i = 0; i < ${upper}_HISTORY * ${upper}_COLUMNS; i++) {
        history[i] = test_number(i, i % ${upper}_COLUMNS);
    }
$known_numbers    make_forecast();
    for (i = 0; i < ${upper}_HORIZON * ${upper}_TARGETS; i++) {
        const double expected = (double)test_forecast[i];
        const double difference = fabs((double)forecast[i] - expected) / fmax($unit, fabs(expected));
        failures += !(difference <= 1e-5);
        *largest = difference > *largest ? difference : *largest;
    }
    return failures;
}

