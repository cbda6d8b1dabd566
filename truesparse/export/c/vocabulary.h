/* $banner
 *
 * What the tokens stand for. To be included in one file; a program that reads numbers does not need it.
 */
#ifndef ${upper}_VOCABULARY_H
#define ${upper}_VOCABULARY_H

#include "$name.h"

/* The token of what is not here; -1 if there is none. */
#define ${upper}_UNKNOWN ($unknown)

static const char *const ${name}_vocabulary[${upper}_TOKENS] = {
$words
};

#endif
