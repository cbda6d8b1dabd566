/* Short loops over sums that do not depend on one another: GCC makes each one instruction if it does not unroll it. */
#if defined(__GNUC__) && !defined(__clang__)
#define ${upper}_EACH _Pragma("GCC unroll 1") for
#else
#define ${upper}_EACH for
#endif
