
void ${name}_forecast(${name}_state *state, const float *history$known_input, float *numbers)
{
    float features[${upper}_FEATURES];
    size_t step, ahead, target, i;
    ${name}_reset(state);
    for (step = ${upper}_SEASON; step < ${upper}_HISTORY; step++) {
        const float *now = history + step * ${upper}_COLUMNS;
        const float *before = now - ${upper}_SEASON * ${upper}_COLUMNS;
        float *feature = features;
        for (i = 0; i < ${upper}_COLUMNS; i++) {
            *feature++ = now[i];
        }
        for (target = 0; target < ${upper}_TARGETS; target++) {
            *feature++ = now[target] - before[target];
        }
$known_features        ${name}_step(state, features);
    }
    ${name}_output(state, numbers);
    for (ahead = 0; ahead < ${upper}_HORIZON; ahead++) {
        const size_t naive = ${upper}_HISTORY - ${upper}_SEASON + ahead % ${upper}_SEASON;
        for (target = 0; target < ${upper}_TARGETS; target++, numbers++) {
$linear            *numbers += history[naive * ${upper}_COLUMNS + target];
        }
    }
}
