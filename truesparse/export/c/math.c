/* exp(-|x|): 2^k exp(r) with |r| < 0.35, exp(r) by the polynomial of Cephes (Moshier 1989). It has no condition on
 * floats, so compilers make vectors of loops that call it. Infinity becomes NaN. */
static inline float ${name}_exp(float x)
{
    union {
        int32_t bits;
        float number;
    } size, power;
    int32_t biased;
    float k, r, p;
    size.number = x;
    size.bits &= 0x7fffffff;
    size.bits = size.bits < 0x42ae0000 ? size.bits : 0x42ae0000; /* 87 */
    biased = (int32_t)(127.5f - size.number * 1.44269504f); /* rounds, as it is above 0 */
    k = (float)biased - 127.0f;
    r = -size.number - k * 0.693359375f + k * 2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    power.bits = biased * 8388608;
    return (p * (r * r) + r + 1.0f) * power.number + 0.0f * x;
}

static inline float ${name}_tanh(float x)
{
    const float e = ${name}_exp(2.0f * x);
    return copysignf((1.0f - e) / (1.0f + e), x);
}

static inline float ${name}_sigmoid(float x)
{
    return 0.5f + 0.5f * ${name}_tanh(0.5f * x);
}

static void ${name}_copy(float *restrict y, const float *restrict x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        y[i] = x[i];
    }
}
