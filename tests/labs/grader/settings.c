/* Settings from the environment, read strictly. */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An empty variable counts as none. */
static const char *setting(const char *name)
{
    const char *text = getenv(name);
    return text && text[0] ? text : NULL;
}

bool lab_setting_seconds(double *seconds, char *why, size_t size)
{
    const char *text = setting("TW_LAB_SECONDS");
    char *end = NULL;
    double value = text ? strtod(text, &end) : LAB_SECONDS;
    if (text && (end == text || *end != '\0' || !(value > 0.0 && value <= LAB_MAX_SECONDS))) {
        snprintf(why, size, "TW_LAB_SECONDS is '%.40s', it must be a number of seconds above 0, at most %d",
                 text, LAB_MAX_SECONDS);
        return false;
    }
    *seconds = value;
    return true;
}

bool lab_setting_confinement(lab_wish *wish, char *why, size_t size)
{
    const char *text = setting("TW_CONFINE");
    bool bwrap = text && strcmp(text, "bwrap") == 0, user = text && strcmp(text, "user") == 0;
    if (text && !bwrap && !user) {
        snprintf(why, size, "TW_CONFINE is '%.40s', it must be bwrap or user, or not be set", text);
        return false;
    }
    *wish = bwrap ? LAB_ONLY_BWRAP : user ? LAB_ONLY_USER : LAB_ANY;
    return true;
}
