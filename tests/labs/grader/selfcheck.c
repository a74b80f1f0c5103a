/*
 * The handout's `make check`: the same judge as in grading, on inputs that follow from the handout's seed. Items are
 * shown as they are judged. Each call of the student's code is a child process's, so that a crash or an endless loop
 * costs an item and not the check; nothing is confined here, where the machine is the student's own. With CK_FORK=no
 * the calls are plain ones, for a debugger. Exit status 0 if everything is right.
 */
#include "../worker/dispatch.h"
#include "ending.h"
#include "judge.h"
#include "seed.h"
#include "settings.h"
#include "submission.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_HANGS = 3, MAX_TEXT = 1 << 16 };

typedef struct checker {
    lab_asker asker; /* first */
    bool forks;
    unsigned seconds; /* for one answer */
    int hangs;
} checker;

/* A sanitizer's runtime, if the student's code was compiled with one. */
extern void __asan_init(void) __attribute__((weak));
extern void __ubsan_handle_out_of_bounds_abort(void) __attribute__((weak));

static bool is_sanitized(void)
{
    return __asan_init != NULL || __ubsan_handle_out_of_bounds_abort != NULL;
}

/* ---- an answer through a pipe ---------------------------------------------------------------------------- */

static bool put(FILE *to, const void *from, size_t size, size_t n)
{
    return fwrite(from, size, n, to) == n;
}

static bool get(FILE *from, void *to, size_t size, size_t n)
{
    return fread(to, size, n, from) == n;
}

static bool write_answer(FILE *to, const lab_message *answer)
{
    const size_t sizes[2] = {answer->num_ints, answer->num_reals};
    return put(to, sizes, sizeof sizes, 1) && put(to, answer->ints, sizeof *answer->ints, sizes[0]) &&
           put(to, answer->reals, sizeof *answer->reals, sizes[1]) && fflush(to) == 0;
}

static bool read_answer(FILE *from, lab_message *answer)
{
    size_t sizes[2];
    if (!get(from, sizes, sizeof sizes, 1) || sizes[0] > LAB_MAX_INTS || sizes[1] > LAB_MAX_REALS)
        return false;
    for (size_t i = 0; i < sizes[0]; i++)
        lab_message_int(answer, 0);
    lab_message_room(answer, sizes[1]);
    return !answer->failed && get(from, answer->ints, sizeof *answer->ints, sizes[0]) &&
           get(from, answer->reals, sizeof *answer->reals, sizes[1]);
}

/* The child: the alarm ends it if it takes too long. */
static void answer_and_end(const checker *c, int fd, lab_message *answer, const lab_message *question)
{
    FILE *to = fdopen(fd, "wb");
    alarm(c->seconds);
    bool good = lab_dispatch(answer, question) && !answer->failed;
    fflush(stdout); /* what the student prints */
    good = good && to && write_answer(to, answer);
    _exit(good ? 0 : 1);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

static void describe_end(checker *c, int status, char *why, size_t size)
{
    char how[120];
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        c->hangs++;
        snprintf(why, size, "no answer within %u seconds: does a loop never end?", c->seconds);
        return;
    }
    lab_ending_describe(status, how, sizeof how);
    snprintf(why, size, "it ended before it answered (%s). %s", how,
             is_sanitized() ? "What was found is shown above."
                            : "`make check SANITIZE=address,undefined` says more.");
}

static bool ask_child(checker *c, lab_message *answer, const lab_message *question, char *why, size_t size)
{
    int ends[2], status = 0;
    if (pipe(ends) != 0) {
        snprintf(why, size, "no pipe can be made here");
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        answer_and_end(c, ends[1], answer, question);
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "rb");
    bool good = pid > 0 && from && read_answer(from, answer);
    if (from)
        fclose(from);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (!good)
        describe_end(c, status, why, size);
    return good;
}

static bool ask(lab_asker *self, lab_message *answer, const lab_message *question, char *why, size_t size)
{
    checker *c = (checker *)self;
    lab_message_clear(answer, question->function);
    if (c->hangs >= MAX_HANGS) {
        snprintf(why, size, "not asked any more, because there was no answer %d times", MAX_HANGS);
        return false;
    }
    if (c->forks)
        return ask_child(c, answer, question, why, size);
    if (lab_dispatch(answer, question) && !answer->failed)
        return true;
    snprintf(why, size, "too much was returned");
    return false;
}

/* ---- the check ------------------------------------------------------------------------------------------- */

/* The file as a string; NULL if it cannot be read. */
static char *text_of(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = file ? calloc(1, MAX_TEXT) : NULL;
    if (text)
        text[fread(text, 1, MAX_TEXT - 1, file)] = '\0';
    if (file)
        fclose(file);
    return text;
}

/* Is there a number for each answer? Right or wrong is not for this program to say. */
static void check_form(uint64_t seed)
{
    lab_report unused = {.lab = 0};
    lab_form form = {.asked = 0};
    lab_judge judge = {.report = &unused, .seed = seed, .form = &form};
    struct stat info;
    if (stat("answers.txt", &info) == 0 && info.st_size > LAB_MAX_FILE) {
        printf("answers.txt is not a file of at most %d bytes: none of it would be graded\n", LAB_MAX_FILE);
        return;
    }
    char *answers = text_of("answers.txt");
    if (!answers) {
        printf("answers.txt cannot be read; it is handed in, too\n");
        return;
    }
    judge.answers = answers;
    lab_judge_answers(&judge);
    free(answers);
    printf("answers.txt: %d of %d answers are there%s%s%s", form.given, form.asked,
           form.missing[0] ? "; not yet: " : "", form.missing,
           form.given == form.asked ? "; whether they are right is graded when they are handed in\n" : "\n");
    fputs(form.problems, stdout);
}

static int check(uint64_t seed, double seconds)
{
    static lab_report report;
    const char *forks = getenv("CK_FORK");
    checker c = {{ask}, !forks || strcmp(forks, "no") != 0, (unsigned)ceil(seconds), 0};
    lab_judge judge = {.report = &report, .asker = &c.asker, .seed = seed, .inputs = 12345};
    report.live = stdout;
    report.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    lab_title(report.title, sizeof report.title, seed);
    snprintf(report.notes, sizeof report.notes, "Seed %llu. Your code alone, on inputs of its own.",
             (unsigned long long)seed);
    lab_report_print_title(stdout, &report, report.colour);
    lab_judge_all(&judge);
    lab_report_print_total(stdout, &report, report.colour);
    check_form(seed);
    lab_message_free(&judge.question);
    lab_message_free(&judge.answer);
    return lab_report_points(&report) == lab_report_max(&report) ? 0 : 1;
}

int main(void)
{
    uint64_t seed;
    double seconds;
    char why[200], *text = text_of("seed");
    if (!text || !lab_seed_parse(&seed, text)) {
        fprintf(stderr,
                text ? "the file 'seed' holds '%.*s', it must be the one number of the handout\n"
                     : "the file 'seed' of the handout is missing%.*s\n",
                text ? (int)strcspn(text, "\r\n") : 0, text ? text : "");
        free(text);
        return 2;
    }
    free(text);
    if (!lab_setting_seconds(&seconds, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    return check(seed, seconds);
}
