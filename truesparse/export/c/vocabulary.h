/* $banner
 *
 * What the tokens stand for. To be included in one file; a program that reads numbers does not need it.
 */
#ifndef ${upper}_H_VOCABULARY
#define ${upper}_H_VOCABULARY

#include "$name.h"

/* The token of what is not here; -1 if there is none. */
#define ${upper}_UNKNOWN ($unknown)

static const char *const ${name}_vocabulary[${upper}_TOKENS] = {
$words
};
$lengths
#endif
