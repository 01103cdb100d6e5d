/* Single tokens, evaluated one after another without going back to Python in between.
 *
 * While a small model is evaluated, its weights push the interpreter out of the processor's caches, so that each way
 * through Python cost 8 to 18 microseconds on a Xeon: nothing beside a token of a large model, but up to a tenth of one
 * of Pocket 2M.
 * The functions are llama.cpp's, by address; this file knows of it only how a batch is laid out, which is checked
 * before it is used. */

#include <stdint.h>
#include <time.h>

typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
} batch;

typedef int32_t (*decode_function)(void *context, batch one);
typedef void (*synchronize_function)(void *context);

/* Seconds of the clock that is Python's time.perf_counter. */
double slmtui_clock(void) {
#ifdef __APPLE__
    return (double)clock_gettime_nsec_np(CLOCK_UPTIME_RAW) * 1e-9;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#endif
}

uint64_t slmtui_batch_bytes(void) { return sizeof(batch); }

/* Evaluates up to `count` tokens and reads the clock after each; begins none once it is `until`.
 * Returns how many were evaluated; `code` is what llama_decode said last. */
int32_t slmtui_steps(decode_function decode, synchronize_function synchronize, void *context, int32_t *tokens,
                     int32_t count, double until, double *at, int32_t *code) {
    int32_t done = 0;
    *code = 0;
    while (done < count && (done == 0 || at[done - 1] < until)) {
        batch one = {1, tokens + done, 0, 0, 0, 0, 0};
        *code = decode(context, one);
        if (*code != 0) {
            break;
        }
        synchronize(context);
        at[done++] = slmtui_clock();
    }
    return done;
}
