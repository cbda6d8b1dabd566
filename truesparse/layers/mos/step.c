/* log sum exp(x). Sums of parts are rounded less than one long sum. */
static float ${function}_log_sum(const float *x, size_t n)
{
    float powers[64], largest = x[0], total = 0.0f;
    size_t start, j;
    for (j = 1; j < n; j++) {
        largest = x[j] > largest ? x[j] : largest;
    }
    for (start = 0; start < n; start += 64) {
        const size_t count = n - start < 64 ? n - start : 64;
        float part = 0.0f;
        for (j = 0; j < count; j++) {
            powers[j] = ${name}_exp(x[start + j] - largest);
        }
        for (j = 0; j < count; j++) {
            part += powers[j];
        }
        total += part;
    }
    return largest + ${name}_log(total);
}

/* z = tanh(z) */
static void ${function}_latents(float *z, size_t n)
{
    size_t j;
    for (j = 0; j < n; j++) {
        z[j] = ${name}_tanh(z[j]);
    }
}

/* shares = log softmax(P x) */
static void ${function}_shares(float *restrict shares, size_t experts, const float *restrict x, size_t n)
{
    const float *weights = ${name}_output_prior;
    float whole;
    size_t k, j;
    for (k = 0; k < experts; k++, weights += n) {
        shares[k] = 0.0f;
        for (j = 0; j < n; j++) {
            shares[k] += weights[j] * x[j];
        }
    }
    whole = ${function}_log_sum(shares, experts);
    for (k = 0; k < experts; k++) {
        shares[k] -= whole;
    }
}

/* scores = log(exp(scores) + exp(share) softmax(own)), of the first expert without what was in scores */
static void ${function}(float *restrict scores, const float *restrict own, float share, size_t expert)
{
    const float less = share - ${function}_log_sum(own, ${units});
    size_t j;
    if (expert == 0) {
        for (j = 0; j < ${units}; j++) {
            scores[j] = own[j] + less;
        }
        return;
    }
    for (j = 0; j < ${units}; j++) {
        const float more = own[j] + less;
        const float larger = more > scores[j] ? more : scores[j];
        scores[j] = larger + ${name}_log(1.0f + ${name}_exp(more - scores[j]));
    }
}
