
void ${name}_softmax(float *scores)
{
    float largest = -INFINITY;
    float sum = 0.0f;
    size_t i;
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        if (scores[i] > largest) {
            largest = scores[i];
        }
    }
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        scores[i] = ${name}_exp(scores[i] - largest);
    }
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        sum += scores[i];
    }
    for (i = 0; i < ${upper}_OUTPUTS; i++) {
        scores[i] /= sum;
    }
}
