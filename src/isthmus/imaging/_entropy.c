/* Reads the entropy-coded data of a sequential JPEG picture (ITU-T T.81, annex F.2) to its last bit, and keeps of it
 * what an eighth of the picture in grey is made of: the DC coefficients of the first component.
 *
 * It says yes or no, and a no is no verdict: whatever is not perfectly regular is left to libjpeg-turbo, which judges
 * it. So it only needs the one road of good pictures, and that one is short: of a coefficient nobody asks for, only
 * its length matters, and one look into a table steps over all the coefficients whose codes lie in the next LOOK bits.
 *
 * The bytes are hostile. Nothing that is read from them becomes an index without a bound: tables are looked up by as
 * many bits as they have entries, the window ends in a margin that a whole MCU cannot cross, and rows and columns come
 * from the caller, who gives as much room as they need.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum {
    LOOK = 12,           /* bits of a look: two tables of AC coefficients fit the first cache beside the data */
    ALL_BITS = 16,       /* T.81, C: no code is longer */
    MOST_SYMBOLS = 256,
    MOST_TABLES = 8,     /* four of each class */
    MOST_BLOCKS = 10,    /* T.81, B.2.3: of an MCU */
    WINDOW = 1 << 14,
    MARGIN = 4096,       /* more than ten blocks of 64 codes of 31 bits, and a load behind them */
    COEFFICIENTS = 64,
    ENDED = 128,         /* added to the coefficients of a look that meets the end of its block */
};

/* `many` and `one` say for the next LOOK bits what is to be done: nothing where 0, since the first code is longer or
 * there is none. many: bits to drop | (coefficients | ENDED) << 6. one: length of the code | symbol << 8. */
typedef struct {
    uint16_t many[1 << LOOK];
    uint16_t one[1 << LOOK];
    uint32_t limit[ALL_BITS + 1];  /* codes of a length are below it, when written to the left of 16 bits */
    int32_t offset[ALL_BITS + 1];  /* added to a code of a length it is the place of its symbol */
    uint8_t symbols[MOST_SYMBOLS];
} Table;

typedef struct {
    uint8_t first, dc, ac, down, across;  /* of the first component? its tables; its place within the MCU */
} Block;

typedef struct {
    const Table *tables;
    const Block *blocks;
    Py_ssize_t block_count, mcus_across, mcus_down, interval, wide, high, quantum, columns, rows;
} Picture;

/* What is coded, without its stuffing, a window at a time. */
typedef struct {
    const uint8_t *from, *stop;
    size_t at, filled;
    int done;  /* all up to a marker or the end is in the window, and zeros behind it */
    uint8_t window[WINDOW + MARGIN];
} Source;

/* T.81, C.2: codes are counted up within a length, and doubled from one length to the next. */
static int make_codes(const uint8_t *counts, const uint8_t *symbols, Py_ssize_t size, Table *table)
{
    uint32_t code = 0;
    Py_ssize_t at = 0;
    memset(table, 0, sizeof *table);
    for (unsigned length = 1; length <= ALL_BITS; length++, code <<= 1) {
        table->offset[length] = (int32_t)at - (int32_t)code;
        for (unsigned left = counts[length - 1]; left; left--, at++, code++) {
            if (at >= size || at >= MOST_SYMBOLS || code >= 1u << length)
                return 0;
            table->symbols[at] = symbols[at];
            if (length > LOOK)
                continue;
            for (uint32_t rest = 0; rest < 1u << (LOOK - length); rest++)
                table->one[(code << (LOOK - length)) + rest] = (uint16_t)(length | (unsigned)symbols[at] << 8);
        }
        table->limit[length] = code << (ALL_BITS - length);
    }
    return at == size;
}

/* Of each look, take all the coefficients whose codes are whole in it; the last one's value may lie behind it. */
static void make_looks(Table *table)
{
    for (uint32_t look = 0; look < 1u << LOOK; look++) {
        unsigned used = 0, ahead = 0;
        while (used < LOOK) {
            uint16_t next = table->one[(look << used) & ((1u << LOOK) - 1)];
            unsigned length = next & 255, bits = next >> 8 & 15, run = next >> 12;
            if (!length || length > LOOK - used)
                break;
            if (!bits && run != 15) {
                if (!run) {
                    used += length;
                    ahead |= ENDED;
                }
                break;  /* a run that a sequential picture does not have is left to the single step, which refuses */
            }
            if (ahead + run + 1 >= COEFFICIENTS)
                break;
            used += length + bits;
            ahead += run + 1;
        }
        table->many[look] = (uint16_t)(used | ahead << 6);
    }
}

static void fill_window(Source *source)
{
    size_t rest = source->filled - source->at;
    memmove(source->window, source->window + source->at, rest);
    source->at = 0;
    source->filled = rest;
    while (source->filled < WINDOW) {
        size_t most = WINDOW - source->filled, there = (size_t)(source->stop - source->from);
        if (there < most)
            most = there;
        const uint8_t *found = most ? memchr(source->from, 0xFF, most) : NULL;
        size_t plain = found ? (size_t)(found - source->from) : most;
        memcpy(source->window + source->filled, source->from, plain);
        source->filled += plain;
        source->from += plain;
        if (source->from == source->stop || (found && (source->stop - source->from < 2 || source->from[1]))) {
            source->done = 1;
            memset(source->window + source->filled, 0, MARGIN);
            return;
        }
        if (found) {
            source->window[source->filled++] = 0xFF;
            source->from += 2;
        }
    }
}

static inline uint64_t load(const uint8_t *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 | (uint64_t)at[3] << 32
         | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 | (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

/* The `held` bits at the top of `bits` are the next ones of the window; `at` is where the ones behind them begin.
 * After a FILL 56 bits are held at least. A look drops 27 of them at most (12, and a value of 15), a single step 31. */
#define FILL                                             \
    do {                                                 \
        bits |= load(source.window + source.at) >> held; \
        source.at += (63 - held) >> 3;                   \
        held |= 56;                                      \
    } while (0)
#define DROP(count)        \
    do {                   \
        bits <<= (count);  \
        held -= (count);   \
    } while (0)

/* The length of the code that `bits` begin with, and its symbol; 0 where there is no such code. */
static inline unsigned decode(const Table *table, uint64_t bits, unsigned *symbol)
{
    unsigned next = table->one[bits >> (64 - LOOK)], length = next & 255;
    *symbol = next >> 8;
    if (length)
        return length;
    uint32_t code = (uint32_t)(bits >> (64 - ALL_BITS));
    for (length = LOOK + 1; length <= ALL_BITS; length++)
        if (code < table->limit[length]) {
            *symbol = table->symbols[(int32_t)(code >> (ALL_BITS - length)) + table->offset[length]];
            return length;
        }
    return 0;
}

/* As libjpeg makes a pixel of a DC coefficient at an eighth of the size, with its wrap where far out of range. */
static inline uint8_t grey_of(int32_t coefficient, int32_t quantum)
{
    int32_t level = (coefficient * quantum + 4) >> 3;
    level = ((level + 512) & 1023) - 512 + 128;
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static int nothing_left(const Source *source, unsigned held)
{
    Py_ssize_t left = ((Py_ssize_t)source->filled - (Py_ssize_t)source->at) * 8 + (Py_ssize_t)held;
    return source->done && left >= 0 && left < 8;
}

static int read_scan(const Picture *picture, const uint8_t *data, size_t size, uint8_t *grey)
{
    Source source = {.from = data, .stop = data + size};
    uint64_t bits = 0;
    unsigned held = 0, restarts = 0;
    int32_t level = 0;
    Py_ssize_t until_restart = picture->interval;
    fill_window(&source);
    for (Py_ssize_t down = 0; down < picture->mcus_down; down++) {
        for (Py_ssize_t across = 0; across < picture->mcus_across; across++) {
            if (picture->interval && !until_restart--) {
                if (!nothing_left(&source, held) || source.stop - source.from < 2
                    || source.from[1] != 0xD0 + (restarts++ & 7))
                    return 0;
                source.from += 2;
                source.at = source.filled = 0;
                source.done = 0;
                bits = 0;
                held = 0;
                level = 0;
                until_restart = picture->interval - 1;
                fill_window(&source);
            }
            if (source.at + MARGIN > source.filled) {
                if (!source.done)
                    fill_window(&source);
                else if (source.at > source.filled + 8)
                    return 0;  /* it has ended before */
            }
            for (Py_ssize_t number = 0; number < picture->block_count; number++) {
                const Block *block = picture->blocks + number;
                unsigned symbol, length;
                FILL;
                length = decode(picture->tables + block->dc, bits, &symbol);
                if (!length || symbol > 11)
                    return 0;
                if (block->first) {
                    if (symbol) {  /* T.81, F.2.2.1: a difference to the block before */
                        int32_t value = (int32_t)(bits << length >> (64 - symbol));
                        level += value < 1 << (symbol - 1) ? value - (1 << symbol) + 1 : value;
                        if (level != (int16_t)level)
                            return 0;
                    }
                    Py_ssize_t row = down * picture->high + block->down, column = across * picture->wide + block->across;
                    if (row < picture->rows && column < picture->columns)
                        grey[row * picture->columns + column] = grey_of(level, (int32_t)picture->quantum);
                }
                DROP(length + symbol);
                const Table *table = picture->tables + block->ac;
                for (unsigned next = 1;;) {  /* the coefficient that comes next */
                    unsigned look, to;
                    FILL;
                    look = table->many[bits >> (64 - LOOK)];
                    to = next + (look >> 6);
                    if (look && to < COEFFICIENTS) {
                        next = to;
                        DROP(look & 63);
                        look = table->many[bits >> (64 - LOOK)];
                        to = next + (look >> 6);
                        if (look && to < COEFFICIENTS) {
                            next = to;
                            DROP(look & 63);
                            continue;
                        }
                        FILL;
                    }
                    if (look && (to == COEFFICIENTS || (to >= ENDED && to < ENDED + COEFFICIENTS))) {
                        DROP(look & 63);
                        break;
                    }
                    /* A long code, or the block ends within the look: one at a time. */
                    length = decode(table, bits, &symbol);
                    if (!length)
                        return 0;
                    DROP(length + (symbol & 15));
                    if (!symbol)
                        break;
                    if (!(symbol & 15) && symbol != 0xF0)
                        return 0;
                    next += (symbol >> 4) + 1;
                    if (next == COEFFICIENTS)
                        break;
                    if (next > COEFFICIENTS)
                        return 0;
                }
            }
        }
    }
    return nothing_left(&source, held) && source.from == source.stop;
}

PyDoc_STRVAR(table_doc,
    "table(counts: bytes, symbols: bytes, ac: bool) -> bytes | None\n\n"
    "Make a table of a Huffman code as DHT tells it (T.81, B.2.4.2); None where it is none.");

static PyObject *table(PyObject *self, PyObject *arguments)
{
    const char *counts, *symbols;
    Py_ssize_t lengths, size;
    int ac;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y#y#p:table", &counts, &lengths, &symbols, &size, &ac))
        return NULL;
    if (lengths != ALL_BITS) {
        PyErr_SetString(PyExc_ValueError, "a code has 16 lengths");
        return NULL;
    }
    PyObject *made = PyBytes_FromStringAndSize(NULL, sizeof(Table));
    if (made == NULL)
        return NULL;
    Table *into = (Table *)PyBytes_AsString(made);
    if (!make_codes((const uint8_t *)counts, (const uint8_t *)symbols, size, into)) {
        Py_DECREF(made);
        Py_RETURN_NONE;
    }
    if (ac)
        make_looks(into);
    return made;
}

static int fits(const Picture *picture, Py_ssize_t tables, Py_ssize_t size)
{
    const Py_ssize_t most = 65535;
    if (tables > MOST_TABLES || picture->block_count < 1 || picture->block_count > MOST_BLOCKS || size < 0)
        return 0;
    if (picture->mcus_across < 1 || picture->mcus_across > most || picture->mcus_down < 1
        || picture->mcus_down > most || picture->interval < 0 || picture->interval > most || picture->quantum < 0
        || picture->quantum > 32767 || picture->columns < 1 || picture->columns > most || picture->rows < 1
        || picture->rows > most)
        return 0;
    for (Py_ssize_t number = 0; number < picture->block_count; number++) {
        const Block *block = picture->blocks + number;
        if (block->dc >= tables || block->ac >= tables)
            return 0;
    }
    return picture->wide >= 1 && picture->wide <= 4 && picture->high >= 1 && picture->high <= 4
        && picture->columns <= picture->mcus_across * picture->wide
        && picture->rows <= picture->mcus_down * picture->high;
}

PyDoc_STRVAR(grey_doc,
    "grey(data, start, end, tables, blocks, mcus, interval, sampling, quantum, size) -> bytes | None\n\n"
    "Read data[start:end], the one scan of a picture, and return it in grey at an eighth of its size, a byte a pixel;\n"
    "None where it is not perfectly regular. tables: some of table() together; blocks: of an MCU, five bytes each (of\n"
    "the first component or not, DC table, AC table, row, column); mcus, sampling, size: (across, down).");

static PyObject *grey(PyObject *self, PyObject *arguments)
{
    Py_buffer data = {0};
    const char *tables, *blocks;
    Py_ssize_t start, end, table_bytes, block_bytes;
    Picture picture = {0};
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*nny#y#(nn)n(nn)n(nn):grey", &data, &start, &end, &tables, &table_bytes, &blocks,
                          &block_bytes, &picture.mcus_across, &picture.mcus_down, &picture.interval, &picture.wide,
                          &picture.high, &picture.quantum, &picture.columns, &picture.rows))
        return NULL;
    picture.tables = (const Table *)tables;
    picture.blocks = (const Block *)blocks;
    picture.block_count = block_bytes / (Py_ssize_t)sizeof(Block);
    PyObject *made = NULL;
    if (start < 0 || end > data.len || !fits(&picture, table_bytes / (Py_ssize_t)sizeof(Table), end - start))
        PyErr_SetString(PyExc_ValueError, "the picture does not fit what is told of it");
    else
        made = PyBytes_FromStringAndSize(NULL, picture.columns * picture.rows);
    if (made != NULL) {
        uint8_t *into = (uint8_t *)PyBytes_AsString(made);
        int whole;
        Py_BEGIN_ALLOW_THREADS
        whole = read_scan(&picture, (const uint8_t *)data.buf + start, (size_t)(end - start), into);
        Py_END_ALLOW_THREADS
        if (!whole) {
            Py_DECREF(made);
            made = Py_NewRef(Py_None);
        }
    }
    PyBuffer_Release(&data);
    return made;
}

PyDoc_STRVAR(end_doc,
    "end(data, start) -> int\n\n"
    "Return where the entropy-coded data that begins at `start` ends: at the first marker that is no restart, without\n"
    "the fill bytes before it; -1 where none comes.");

static PyObject *end_of_data(PyObject *self, PyObject *arguments)
{
    Py_buffer data;
    Py_ssize_t start, found = -1;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*n:end", &data, &start))
        return NULL;
    const uint8_t *bytes = data.buf, *stop = bytes + data.len;
    const uint8_t *at = start < 0 || start > data.len ? stop : bytes + start;
    while (stop - at > 1 && (at = memchr(at, 0xFF, (size_t)(stop - at) - 1)) != NULL) {
        if (at[1] && at[1] != 0xFF && (at[1] & 0xF8) != 0xD0) {
            found = at - bytes;
            break;
        }
        at++;
    }
    PyBuffer_Release(&data);
    return PyLong_FromSsize_t(found);
}

static PyMethodDef methods[] = {
    {"end", end_of_data, METH_VARARGS, end_doc},
    {"table", table, METH_VARARGS, table_doc},
    {"grey", grey, METH_VARARGS, grey_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_entropy",
    .m_doc = "The entropy-coded data of sequential JPEG pictures, read to the last bit.",
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__entropy(void)
{
    return PyModuleDef_Init(&module);
}
