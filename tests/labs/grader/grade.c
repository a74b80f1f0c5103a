/* One submission from folder to report. */
#include "grade.h"
#include "judge.h"
#include "seed.h"
#include "submission.h"
#include "workshop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing could be judged: one item that says why, worth what the lab is worth. */
static void nothing_judged(lab_report *report, const lab_course *course, const char *why)
{
    report->num_items = 0;
    snprintf(report->title, sizeof report->title, "Lab %d", course->lab);
    lab_lose(lab_report_item(report, 100, "the submission as a whole"), "%s", why);
}

/* Inputs that nobody could know before: the system's entropy. */
static uint64_t fresh_inputs(void)
{
    uint64_t inputs = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, &inputs, sizeof inputs) != (ssize_t)sizeof inputs)
        inputs = 0;
    if (fd >= 0)
        close(fd);
    return inputs;
}

/* The seed of the task: as given, else as the submission's own file says. */
static bool find_seed(lab_report *report, uint64_t *seed, const lab_course *course, const char *submission,
                      char *why, size_t size)
{
    *seed = course->seed;
    if (course->seed_given)
        return true;
    char *text = lab_submission_text(submission, "seed", why, size);
    if (!text) {
        snprintf(why, size, "the file 'seed' of the handout is missing, and no SEED= was given");
        return false;
    }
    bool good = lab_seed_parse(seed, text);
    free(text);
    if (good)
        snprintf(report->notes, sizeof report->notes, "Seed %llu, from the submission's own file.",
                 (unsigned long long)*seed);
    else
        snprintf(why, size, "the file 'seed' must hold the one number of the handout");
    return good;
}

/* Builds and judges; the report says what came of it. */
static bool judge_submission(lab_report *report, const lab_course *course, const char *submission,
                             uint64_t seed, char *why, size_t size)
{
    lab_workshop shop;
    char complaint[600] = "", *answers = NULL;
    if (!lab_workshop_open(&shop, course->how, course->kit, course->seconds, why, size))
        return false;
    bool built = lab_workshop_build(&shop, course->lab, submission, course->source, complaint,
                                    sizeof complaint);
    if (built && course->has_answers)
        answers = lab_submission_text(submission, "answers.txt", complaint, sizeof complaint);
    if (built) {
        lab_judge judge = {.report = report,
                           .asker = &shop.asker,
                           .seed = seed,
                           .answers = answers,
                           .no_answers = course->has_answers && !answers ? complaint : NULL,
                           .inputs = course->inputs_given ? course->inputs : fresh_inputs()};
        lab_judge_all(&judge);
        lab_message_free(&judge.question);
        lab_message_free(&judge.answer);
    } else {
        nothing_judged(report, course, complaint);
    }
    free(answers);
    lab_workshop_close(&shop);
    return true;
}

bool lab_grade(lab_report *report, const lab_course *course, const char *submission, char *why, size_t size)
{
    memset(report, 0, sizeof *report);
    report->lab = course->lab;
    char complaint[500];
    uint64_t seed;
    struct stat info;
    if (stat(submission, &info) != 0 || !S_ISDIR(info.st_mode)) {
        snprintf(why, size, "SUBMISSION is '%s', it must be a folder", submission);
        return false;
    }
    if (!lab_submission_check(submission, complaint, sizeof complaint) ||
        !find_seed(report, &seed, course, submission, complaint, sizeof complaint)) {
        nothing_judged(report, course, complaint);
        return true;
    }
    return judge_submission(report, course, submission, seed, why, size);
}
