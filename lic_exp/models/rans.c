/* The rANS coder of CompressAI's strings, on arrays: the same bytes as compressai.ans, without lists of Python.
 *
 * A state of 64 bits, words of 32, frequencies of 16. A symbol outside its row is coded as the row's last one, an
 * escape, and then by nibbles: how many follow, and what is left of it, its sign in the last bit, lowest nibble first.
 * Reading beyond a string's end gives zeros. Nothing here is allocated, and nothing read or written outside of what
 * the caller gives, whatever the string holds.
 */

#include <stdint.h>
#include <string.h>

#define LOWEST (1ull << 31)
#define PRECISION 16
#define NIBBLE 4
#define LARGEST_NIBBLE 15
#define MOST_NIBBLES 8
#define MOST_WORDS 16 /* more than one symbol writes, an escape included, and the last state */
#define LARGEST_SYMBOL (1 << 26) /* as in compressai_coding.py */
#define HINT_SHIFT 8
#define HINTS 256

/* Tables: `rows` rows, each `width` numbers apart; hints: where to begin a search, by the upper 8 bits of a frequency. */
typedef struct {
    const int32_t *cdf;
    const int32_t *lengths;
    const int32_t *offsets;
    const uint16_t *hints;
    int64_t rows;
    int64_t width;
} Tables;

/* Where a decoder stands. exact: 0 once something was read that no encoder writes. */
typedef struct {
    uint64_t state;
    int64_t position;
    int64_t exact;
} Place;

static uint64_t room_for(uint64_t x, uint64_t most, uint32_t **word) {
    if (x < most) return x;
    *--*word = (uint32_t)x;
    return x >> 32;
}

static uint64_t put(uint64_t x, uint32_t start, uint32_t frequency, uint32_t **word) {
    x = room_for(x, ((LOWEST >> PRECISION) << 32) * frequency, word);
    return ((x / frequency) << PRECISION) + x % frequency + start;
}

static uint64_t put_nibble(uint64_t x, uint32_t value, uint32_t **word) {
    x = room_for(x, ((LOWEST >> PRECISION) << 32) << (PRECISION - NIBBLE), word);
    return x << NIBBLE | value;
}

/* Code `count` symbols, each by the row that its index names, into the end of `capacity` words.
 *
 * Returns how many words were written; -1 for a row that is not there, -2 where the words do not suffice.
 */
int64_t lic_exp_encode(const int32_t *symbols, const int32_t *indexes, int64_t count, const Tables *tables,
                       uint32_t *words, int64_t capacity) {
    uint64_t x = LOWEST;
    uint32_t *word = words + capacity;
    for (int64_t i = count - 1; i >= 0; i--) {
        int64_t row = indexes[i];
        if (row < 0 || row >= tables->rows) return -1;
        if (word - words < MOST_WORDS) return -2;
        const int32_t *cdf = tables->cdf + row * tables->width;
        int64_t escape = tables->lengths[row] - 2;
        int64_t value = (int64_t)symbols[i] - tables->offsets[row];
        if (value < 0 || value >= escape) {
            uint32_t rest = (uint32_t)(value < 0 ? -2 * value - 1 : 2 * (value - escape));
            int nibbles = 0;
            while (nibbles < MOST_NIBBLES && rest >> (nibbles * NIBBLE)) nibbles++;
            for (int j = nibbles - 1; j >= 0; j--) x = put_nibble(x, rest >> (j * NIBBLE) & LARGEST_NIBBLE, &word);
            x = put_nibble(x, (uint32_t)nibbles, &word);
            value = escape;
        }
        x = put(x, (uint32_t)cdf[value], (uint32_t)(cdf[value + 1] - cdf[value]), &word);
    }
    if (word - words < 2) return -2;
    *--word = (uint32_t)(x >> 32);
    *--word = (uint32_t)x;
    return words + capacity - word;
}

static uint32_t next_word(const uint8_t *string, int64_t size, Place *place) {
    uint32_t word = 0;
    int64_t left = size - place->position;
    if (left > 0) memcpy(&word, string + place->position, left < 4 ? (size_t)left : 4);
    place->position += 4;
    return word;
}

static uint64_t refilled(uint64_t x, const uint8_t *string, int64_t size, Place *place) {
    return x < LOWEST ? x << 32 | next_word(string, size, place) : x;
}

static uint32_t nibble(uint64_t *x, const uint8_t *string, int64_t size, Place *place) {
    uint32_t value = *x & LARGEST_NIBBLE;
    *x = refilled(*x >> NIBBLE, string, size, place);
    return value;
}

/* What is left of an escaped symbol. Of more nibbles than an encoder writes, the lowest 32 bits of what they say. */
static uint32_t escaped(uint64_t *x, const uint8_t *string, int64_t size, Place *place) {
    uint32_t rest = 0, last = 1, count = 0, more;
    do {
        more = nibble(x, string, size, place);
        count += more;
    } while (more == LARGEST_NIBBLE);
    for (uint32_t j = 0; j < count; j++) {
        last = nibble(x, string, size, place);
        if (j < MOST_NIBBLES) rest |= last << (j * NIBBLE);
    }
    if (count > MOST_NIBBLES || !last) place->exact = 0;
    return rest;
}

/* Take the coder's first state from the string. */
void lic_exp_begin(const uint8_t *string, int64_t size, Place *place) {
    place->position = 0;
    place->exact = 1;
    uint64_t low = next_word(string, size, place);
    place->state = low | (uint64_t)next_word(string, size, place) << 32;
    if (place->state < LOWEST || place->state >= LOWEST << 32) place->exact = 0;
}

/* Decode `count` symbols, each by the row that its index names. Returns 0, or -1 for a row that is not there. */
int64_t lic_exp_decode(const uint8_t *string, int64_t size, Place *place, const int32_t *indexes, int64_t count,
                       const Tables *tables, int32_t *symbols) {
    uint64_t x = place->state;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = indexes[i];
        if (row < 0 || row >= tables->rows) return -1;
        const int32_t *cdf = tables->cdf + row * tables->width;
        int64_t escape = tables->lengths[row] - 2;
        int32_t within = (int32_t)(x & ((1u << PRECISION) - 1));
        int64_t value = tables->hints[row * HINTS + (within >> HINT_SHIFT)];
        while (cdf[value + 1] <= within) value++;
        x = refilled((uint64_t)(cdf[value + 1] - cdf[value]) * (x >> PRECISION) + within - cdf[value], string, size, place);
        if (value == escape) {
            uint32_t rest = escaped(&x, string, size, place);
            value = rest & 1 ? -(int64_t)(rest >> 1) - 1 : (int64_t)(rest >> 1) + escape;
        }
        value += tables->offsets[row];
        if (value > LARGEST_SYMBOL || value < -LARGEST_SYMBOL) place->exact = 0;
        symbols[i] = (int32_t)value;
    }
    place->state = x;
    return 0;
}

/* Whether the string is, byte for byte, what an encoder makes of the symbols that were decoded from it. */
int64_t lic_exp_comes_back(int64_t size, const Place *place) {
    return place->exact && place->state == LOWEST && place->position == size;
}
