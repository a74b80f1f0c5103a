/* How a function says that it failed. The line is kept per thread, so that OpenMP code may fail too. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_message[512];

const char *tw_status_name(tw_status status)
{
    switch (status) {
    case TW_OK:
        return "TW_OK";
    case TW_EINVAL:
        return "TW_EINVAL";
    case TW_EOVERFLOW:
        return "TW_EOVERFLOW";
    case TW_ENOMEM:
        return "TW_ENOMEM";
    case TW_EIO:
        return "TW_EIO";
    case TW_EFORMAT:
        return "TW_EFORMAT";
    case TW_ESRAM:
        return "TW_ESRAM";
    case TW_EUNSUPPORTED:
        return "TW_EUNSUPPORTED";
    case TW_ESCHEDULE:
        return "TW_ESCHEDULE";
    case TW_EMISMATCH:
        return "TW_EMISMATCH";
    case TW_EGPU:
        return "TW_EGPU";
    }
    return "unknown status";
}

const char *tw_error_message(void)
{
    return last_message;
}

tw_status tw_fail(tw_status status, const char *format, ...)
{
    char line[sizeof last_message]; /* an argument may be the last message itself */
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++) { /* a file name or a broken file may bring newlines with it */
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    }
    snprintf(last_message, sizeof last_message, "%s", line);
    return status;
}
