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

/* Read a word, cut about as in training: letters, digits, underscores and inner apostrophes in lower case, or one
 * punctuation mark. Returns 0 at the end of a line, -1 at the end of the text. */
static int next_word(char *word)
{
    size_t length = 0;
    int c;
    for (c = getchar(); c != '\n' && isspace(c); c = getchar()) {}
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

/* Read a word or, as in training, the end of a line. A sorted copy of the table would make this faster. */
static void read_word(words_state *state, const char *word)
{
    long token;
    for (token = 0; token < WORDS_TOKENS && strcmp(words_vocabulary[token], word) != 0; token++) {}
    token = token < WORDS_TOKENS ? token : WORDS_UNKNOWN;
    if (token >= 0) { /* or the model knows neither the word nor <unk> */
        words_step(state, (uint32_t)token);
    }
}

/* Print the likeliest words. This leaves the state as it is, so reading goes on from it. */
static void suggest(const words_state *state)
{
    static float scores[WORDS_OUTPUTS];
    words_output(state, scores);
    words_softmax(scores);
    for (int place = 0; place < SUGGESTIONS && place < WORDS_OUTPUTS; place++) {
        size_t i, best = 0;
        for (i = 1; i < WORDS_OUTPUTS; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        printf("%s%s %.2f", place ? ", " : "", words_vocabulary[best], (double)scores[best]);
        scores[best] = -1.0f;
    }
    putchar('\n');
}

int main(void)
{
    static words_state state; /* one for each text that is read at the same time */
    char word[LONGEST];
    int found, read = 0; /* whether a word came last */
    words_init(&state);
    for (; (found = next_word(word)) >= 0; read = found) {
        if (found > 0) {
            read_word(&state, word);
        } else if (read > 0) {
            suggest(&state);
            read_word(&state, "<eos>");
        }
    }
    return 0;
}
