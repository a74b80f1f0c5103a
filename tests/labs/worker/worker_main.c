/*
 * The process in which a student's code runs. It reads questions and writes answers, and that is all it has: it is
 * confined, it holds no expected value, and it awards nothing. Whatever the student's code does to this process, the
 * worst it can achieve is a wrong answer or none.
 */
#include "dispatch.h"

#include <stdlib.h>
#include <unistd.h>

static bool read_all(void *to, size_t n)
{
    for (char *at = to; n > 0;) {
        ssize_t got = read(LAB_FD_QUESTION, at, n);
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(const void *from, size_t n)
{
    for (const char *at = from; n > 0;) {
        ssize_t put = write(LAB_FD_ANSWER, at, n);
        if (put <= 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

static bool read_question(lab_message *question, int32_t *nonce)
{
    lab_frame frame;
    if (!read_all(&frame, sizeof frame) || frame.magic != LAB_MAGIC || frame.num_ints < 0 ||
        frame.num_reals < 0)
        return false;
    lab_message_clear(question, frame.function);
    *nonce = frame.nonce;
    for (int32_t i = 0; i < frame.num_ints; i++)
        lab_message_int(question, 0);
    lab_message_room(question, (size_t)frame.num_reals);
    return !question->failed && read_all(question->ints, question->num_ints * 8) &&
           read_all(question->reals, question->num_reals * 8);
}

static bool write_answer(const lab_message *answer, int32_t nonce)
{
    lab_frame frame = {LAB_MAGIC, answer->function, nonce, (int32_t)answer->num_ints,
                       (int32_t)answer->num_reals};
    return write_all(&frame, sizeof frame) && write_all(answer->ints, answer->num_ints * 8) &&
           write_all(answer->reals, answer->num_reals * 8);
}

int main(void)
{
    static lab_message question, answer;
    for (int32_t nonce; read_question(&question, &nonce);) {
        lab_message_clear(&answer, question.function);
        if (!lab_dispatch(&answer, &question) || answer.failed || !write_answer(&answer, nonce))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
