/* Compiling a submission and asking the worker that holds it. */
#define _GNU_SOURCE
#include "workshop.h"
#include "ending.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool ask(lab_asker *self, lab_message *answer, const lab_message *question, char *why, size_t size);

double lab_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int lab_milliseconds_until(double deadline)
{
    double left = (deadline - lab_now()) * 1e3;
    return left <= 0.0 ? 0 : (int)left + 1;
}

static bool make_folder(char *path, const char *parent, const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", parent, name) < PATH_MAX && mkdir(path, 0755) == 0 &&
           chmod(path, 0755) == 0;
}

bool lab_workshop_open(lab_workshop *shop, lab_confinement how, const char *kit, double seconds, char *why,
                       size_t size)
{
    const char *compiler = getenv("TW_LAB_CC"), *temporary = getenv("TMPDIR");
    *shop = (lab_workshop){.asker = {ask},
                           .how = how,
                           .kit = kit,
                           .compiler = compiler ? compiler : "gcc",
                           .question_s = seconds};
    snprintf(shop->scratch, sizeof shop->scratch, "%s/tilewise-lab-XXXXXX", temporary ? temporary : "/tmp");
    if (mkdtemp(shop->scratch) && chmod(shop->scratch, 0711) == 0 &&
        make_folder(shop->in, shop->scratch, "in") && make_folder(shop->out, shop->scratch, "out") &&
        make_folder(shop->run, shop->scratch, "run"))
        return true;
    snprintf(why, size, "no scratch folder %s: %s", shop->scratch, strerror(errno));
    return false;
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info, (void)flag, (void)ftw;
    return remove(path);
}

static void stop_worker(lab_workshop *shop, int *status)
{
    if (shop->worker.pid)
        *status = lab_confine_stop(&shop->worker);
}

void lab_workshop_close(lab_workshop *shop)
{
    int status;
    stop_worker(shop, &status);
    if (shop->scratch[0])
        nftw(shop->scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

static bool start_worker(lab_workshop *shop, char *why, size_t size)
{
    const char *const argv[] = {"{in}/worker", NULL};
    lab_command command = {.how = shop->how,
                           .kit = shop->kit,
                           .readable = shop->run,
                           .argv = argv,
                           .limits = {.cpu_s = (int)(2.0 * shop->question_s) + 2,
                                      .processes = shop->how == LAB_BWRAP && geteuid() != 0 ? 3 : 1,
                                      .memory_bytes = 1ll << 29,
                                      .file_bytes = 1 << 20}};
    shop->printed = 0;
    shop->last_words[0] = '\0';
    return lab_confine_start(&shop->worker, &command, why, size);
}

/* What the worker prints is read so that it does not block, counted, and its beginning kept. */
static bool take_output(lab_workshop *shop)
{
    char text[4096];
    ssize_t n = read(shop->worker.output, text, sizeof text);
    if (n <= 0)
        return false;
    if (shop->printed == 0)
        snprintf(shop->last_words, sizeof shop->last_words, "%.*s", (int)(n < 200 ? n : 200), text);
    shop->printed += (size_t)n;
    return true;
}

enum { MAX_OUTPUT = 1 << 20 };
typedef enum transfer { DONE, DIED, TOO_SLOW, TOO_LOUD } transfer;

/* Moves n bytes to or from the worker, listening to its output meanwhile. */
static transfer exchange(lab_workshop *shop, bool writing, char *data, size_t n, double deadline)
{
    bool output_open = true;
    while (n > 0) {
        struct pollfd ends[2] = {{.fd = writing ? shop->worker.question : shop->worker.answer,
                                  .events = writing ? POLLOUT : POLLIN},
                                 {.fd = output_open ? shop->worker.output : -1, .events = POLLIN}};
        if (poll(ends, 2, lab_milliseconds_until(deadline)) <= 0 && lab_now() >= deadline)
            return TOO_SLOW;
        if (ends[1].revents)
            output_open = take_output(shop);
        if (shop->printed > MAX_OUTPUT)
            return TOO_LOUD;
        if (!ends[0].revents)
            continue;
        ssize_t moved = writing ? write(ends[0].fd, data, n) : read(ends[0].fd, data, n);
        if (moved < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (moved <= 0)
            return DIED;
        data += moved;
        n -= (size_t)moved;
    }
    return DONE;
}

static transfer send_question(lab_workshop *shop, const lab_message *q, int32_t nonce, double deadline)
{
    lab_frame frame = {LAB_MAGIC, q->function, nonce, (int32_t)q->num_ints, (int32_t)q->num_reals};
    transfer t = exchange(shop, true, (char *)&frame, sizeof frame, deadline);
    if (t == DONE)
        t = exchange(shop, true, (char *)q->ints, q->num_ints * 8, deadline);
    return t == DONE ? exchange(shop, true, (char *)q->reals, q->num_reals * 8, deadline) : t;
}

/* An answer whose frame is not what was asked for is DIED with the worker alive: `strange` says so. */
static transfer receive_answer(lab_workshop *shop, lab_message *a, int32_t function, int32_t nonce,
                               double deadline, bool *strange)
{
    lab_frame frame;
    transfer t = exchange(shop, false, (char *)&frame, sizeof frame, deadline);
    if (t != DONE)
        return t;
    *strange = frame.magic != LAB_MAGIC || frame.nonce != nonce || frame.function != function ||
               frame.num_ints < 0 || frame.num_reals < 0 || frame.num_ints > LAB_MAX_INTS ||
               frame.num_reals > LAB_MAX_REALS;
    if (*strange)
        return DIED;
    lab_message_clear(a, function);
    for (int32_t i = 0; i < frame.num_ints; i++)
        lab_message_int(a, 0);
    lab_message_room(a, (size_t)frame.num_reals);
    if (a->failed)
        return DIED;
    t = exchange(shop, false, (char *)a->ints, a->num_ints * 8, deadline);
    return t == DONE ? exchange(shop, false, (char *)a->reals, a->num_reals * 8, deadline) : t;
}

/* Ends the worker after a failed exchange, and says what happened. */
static void bury(lab_workshop *shop, transfer how, bool strange, char *why, size_t size)
{
    char fate[120];
    int status = 0;
    if (how == DIED && !strange)
        lab_confine_wait(&shop->worker, 1.0);
    while (how == DIED && take_output(shop) && shop->printed <= MAX_OUTPUT)
        ;
    stop_worker(shop, &status);
    shop->deaths++;
    lab_ending_describe(status, fate, sizeof fate);
    if (strange)
        snprintf(why, size,
                 "what came back is not an answer; your code must leave file descriptors 3 and 4 alone");
    else if (how == TOO_SLOW)
        snprintf(why, size, "no answer within %g seconds: does a loop never end?", shop->question_s);
    else if (how == TOO_LOUD)
        snprintf(why, size, "it printed more than %d bytes and was stopped", MAX_OUTPUT);
    else
        snprintf(why, size, "the program ended before it answered (%s)%s%s", fate,
                 shop->last_words[0] ? "; it printed: " : "", shop->last_words);
}

static bool ask(lab_asker *self, lab_message *answer, const lab_message *question, char *why, size_t size)
{
    lab_workshop *shop = (lab_workshop *)self;
    if (shop->deaths >= LAB_MAX_DEATHS) {
        snprintf(why, size, "not asked any more, because the program had ended or hung %d times",
                 LAB_MAX_DEATHS);
        return false;
    }
    if (question->failed || (!shop->worker.pid && !start_worker(shop, why, size))) {
        if (question->failed)
            snprintf(why, size, "the grader ran out of memory");
        return false;
    }
    static int32_t nonce;
    int32_t mine = (nonce += 7919) ^ (int32_t)getpid();
    double deadline = lab_now() + shop->question_s;
    bool strange = false;
    transfer t = send_question(shop, question, mine, deadline);
    if (t == DONE)
        t = receive_answer(shop, answer, question->function, mine, deadline, &strange);
    if (t == DONE)
        return true;
    bury(shop, t, strange, why, size);
    return false;
}
