/* Messages grow as numbers are added; the first addition that fails is remembered. */
#include "message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lab_message_clear(lab_message *message, int32_t function)
{
    message->function = function;
    message->num_ints = message->num_reals = 0;
    message->failed = false;
}

void lab_message_free(lab_message *message)
{
    free(message->ints);
    free(message->reals);
    memset(message, 0, sizeof *message);
}

/* Room for n elements of 8 bytes; NULL if that is too much. */
static void *grow(void *array, size_t *room, size_t n, size_t limit)
{
    if (n <= *room)
        return array;
    size_t more = *room ? *room : 64;
    while (more < n)
        more *= 2;
    void *grown = n > limit ? NULL : realloc(array, more * 8);
    if (grown)
        *room = more;
    return grown;
}

void lab_message_int(lab_message *message, int64_t value)
{
    int64_t *ints = grow(message->ints, &message->room_ints, message->num_ints + 1, LAB_MAX_INTS);
    if (!ints) {
        message->failed = true;
        return;
    }
    message->ints = ints;
    ints[message->num_ints++] = value;
}

double *lab_message_room(lab_message *message, size_t n)
{
    size_t need = n > LAB_MAX_REALS ? (size_t)LAB_MAX_REALS + 1 : message->num_reals + (n ? n : 1);
    double *reals = grow(message->reals, &message->room_reals, need, LAB_MAX_REALS);
    if (!reals) {
        message->failed = true;
        return NULL;
    }
    message->reals = reals;
    double *room = reals + message->num_reals;
    for (size_t i = 0; i < n; i++)
        room[i] = NAN;
    message->num_reals += n;
    return room;
}

void lab_message_reals(lab_message *message, const double *values, size_t n)
{
    double *room = lab_message_room(message, n);
    if (room && n)
        memcpy(room, values, n * sizeof *values);
}

void lab_message_real(lab_message *message, double value)
{
    lab_message_reals(message, &value, 1);
}
