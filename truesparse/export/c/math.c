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

/* log(x) of a number above 0 that is not smaller than the least normal one: x = 2^k (1 + r) with |r| < 0.42, log(1 + r)
 * by the polynomial of Cephes (Moshier 1989), without a condition as well. Infinity becomes NaN. */
static inline float ${name}_log(float x)
{
    union {
        uint32_t bits;
        float number;
    } rest;
    int32_t power;
    float k, r, p;
    rest.number = x;
    power = (int32_t)((rest.bits + 0x4afb0d) >> 23) - 127; /* 1 / sqrt(2) and more is still of the next power */
    rest.bits -= (uint32_t)power << 23;
    k = (float)power;
    r = rest.number - 1.0f;
    p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    return (p * r - 0.5f) * (r * r) - k * 2.12194440e-4f + r + k * 0.693359375f + 0.0f * x;
}

/* tanh(x) by a rational function to 4e-7, that of Eigen (Guennebaud and Jacob 2010); beyond 8 it is 1 in floats. It has
 * no condition either, and half as many operations as by exp. Infinity becomes NaN. */
static inline float ${name}_tanh(float x)
{
    union {
        int32_t bits;
        float number;
    } end;
    float s, p, q;
    end.number = x;
    end.bits &= 0x7fffffff;
    end.bits = end.bits < 0x40fff644 ? end.bits : 0x40fff644; /* 7.99881172 */
    s = end.number * end.number;
    p = -2.76076847742355e-16f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s - 8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-8f;
    p = p * s + 1.48572235717979e-5f;
    p = p * s + 6.37261928875436e-4f;
    p = p * s + 4.89352455891786e-3f;
    q = 1.19825839466702e-6f;
    q = q * s + 1.18534705686654e-4f;
    q = q * s + 2.26843463243900e-3f;
    q = q * s + 4.89352518554385e-3f;
    return copysignf(end.number * p / q, x) + 0.0f * x;
}

static inline float ${name}_sigmoid(float x)
{
    return 0.5f + 0.5f * ${name}_tanh(0.5f * x);
}

static void ${name}_sigmoids(float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        x[i] = ${name}_sigmoid(x[i]);
    }
}

/* the mean of n numbers, from four sums */
static float ${name}_mean(const float *x, size_t n)
{
    const size_t rest = n - n % 4;
    float sums[4] = {0.0f}, sum = 0.0f;
    size_t i, j;
    for (j = 0; j < rest; j += 4) {
        ${upper}_EACH (i = 0; i < 4; i++) {
            sums[i] += x[j + i];
        }
    }
    for (j = rest; j < n; j++) {
        sum += x[j];
    }
    for (i = 0; i < 4; i++) {
        sum += sums[i];
    }
    return sum / (float)n;
}

static void ${name}_copy(float *restrict y, const float *restrict x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        y[i] = x[i];
    }
}
