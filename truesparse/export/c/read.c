
void ${name}_read(${name}_state *state, const float *features, size_t steps, float *$scores_name)
{
    size_t step;
    for (step = 0; step < steps; step++) {
        ${name}_step(state, features + step * ${upper}_FEATURES);$output_of_step
    }$output_at_end
}
