/* Suggests the next words while it reads a text: an exported language model inside a program.
 *
 *     truesparse train lm --out run
 *     truesparse export run --to c --out words --name words
 *     cc -std=c99 -O3 -I words -o suggest suggest.c words/words.c -lm
 *     echo "the value of" | ./suggest
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "words_vocabulary.h" /* words.h, and the table of words */

#define LONGEST 64
#define SUGGESTIONS 3

/* Read a word into `word`. Words are cut about as in training: letters, digits, underscores and inner apostrophes
 * in lower case, or one punctuation mark. Returns 0 at the end of a line, -1 at the end of the text. */
static int next_word(char *word)
{
    size_t length = 0;
    int c = getchar();
    while (c != '\n' && isspace(c)) {
        c = getchar();
    }
    if (c == EOF || c == '\n') {
        return c == EOF ? -1 : 0;
    }
    do {
        word[length++] = (char)tolower(c);
        c = getchar();
    } while (length < LONGEST - 1 && (isalnum(c) || c == '_' || c == '\'') && isalnum((unsigned char)word[0]));
    ungetc(c, stdin);
    word[length] = '\0';
    return 1;
}

/* The token of a word; -1 if the model does not know it. A sorted copy of the table would make this faster. */
static long find(const char *word)
{
    long token;
    for (token = 0; token < WORDS_TOKENS; token++) {
        if (strcmp(words_vocabulary[token], word) == 0) {
            return token;
        }
    }
    return WORDS_UNKNOWN;
}

/* Print the likeliest words. The state does not change by that: reading goes on from it. */
static void suggest(const words_state *state)
{
    static float scores[WORDS_OUTPUTS];
    int place;
    words_output(state, scores);
    words_softmax(scores);
    for (place = 0; place < SUGGESTIONS && place < WORDS_OUTPUTS; place++) {
        size_t i, best = 0;
        for (i = 1; i < WORDS_OUTPUTS; i++) {
            if (scores[i] > scores[best]) {
                best = i;
            }
        }
        printf("%s%s %.2f", place ? ", " : "", words_vocabulary[best], (double)scores[best]);
        scores[best] = -1.0f;
    }
    putchar('\n');
}

/* Read a word or, as in training, the end of a line. */
static void read_word(words_state *state, const char *word)
{
    const long token = find(word);
    if (token >= 0) {
        words_step(state, (uint32_t)token);
    }
}

int main(void)
{
    static words_state state; /* one for each text that is read at the same time */
    char word[LONGEST];
    int found, read = 0; /* words of the line */
    words_init(&state);
    while ((found = next_word(word)) >= 0) {
        if (found > 0) {
            read_word(&state, word);
            read++;
        } else if (read > 0) {
            suggest(&state);
            read_word(&state, "<eos>");
            read = 0;
        }
    }
    return 0;
}
