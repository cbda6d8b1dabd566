
void ${name}_forecast(${name}_state *state, const float *history$known_input$room_input, float *numbers)
{
$begin    size_t step, ahead, target, i;
$reset    for (step = ${upper}_SEASON; step < ${upper}_HISTORY; step++) {
        const float *now = history + step * ${upper}_COLUMNS;
        const float *before = now - ${upper}_SEASON * ${upper}_COLUMNS;
$first        for (i = 0; i < ${upper}_COLUMNS; i++) {
            *feature++ = now[i];
        }
        for (target = 0; target < ${upper}_TARGETS; target++) {
            *feature++ = now[target] - before[target];
        }
$known_features$each    }
$end
    for (ahead = 0; ahead < ${upper}_HORIZON; ahead++) {
        const size_t naive = ${upper}_HISTORY - ${upper}_SEASON + ahead % ${upper}_SEASON;
        for (target = 0; target < ${upper}_TARGETS; target++, numbers++) {
$linear            *numbers += history[naive * ${upper}_COLUMNS + target];
        }
    }
}
