/*
 * Runs a command where it can do no harm: no network, no view of the repository, of other submissions or of other
 * processes, bounded in time, memory, processes, files and output.
 *
 *   bubblewrap      a mount, process, network, IPC (and, unless root, user) namespace of its own
 *   separate user   root only, where namespaces are not to be had (a container): a user whom nobody else is, and for
 *                   the student's code an empty root folder
 *   refused         with the reason; nothing of a student is then compiled or run
 */
#ifndef LAB_CONFINE_H
#define LAB_CONFINE_H

#include "settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef enum lab_confinement { LAB_BWRAP, LAB_SEPARATE_USER, LAB_REFUSED } lab_confinement;

/*
 * Finds out what works here; `why` says what was chosen or why nothing was. `kit` is the folder of tilewise-confine.
 * `secret` is a folder that no student may read; NULL if there is none. `wish` insists on one, or on none.
 */
lab_confinement lab_confine_choose(const char *kit, const char *secret, lab_wish wish, char *why,
                                   size_t size);

typedef struct lab_limits {
    int cpu_s, processes;
    double wall_s;
    long long memory_bytes, file_bytes;
    size_t output_bytes; /* on stdout and stderr together */
} lab_limits;

typedef struct lab_command {
    lab_confinement how;
    const char *kit;
    const char *readable, *writable; /* folders; as /in and /out within bubblewrap; writable may be NULL */
    bool with_system;                /* /usr is there too: to compile, not to run */
    const char *const *argv;         /* "{in}" and "{out}" at the start of an argument become those folders */
    lab_limits limits;
} lab_command;

typedef struct lab_process {
    pid_t pid;
    unsigned long uid;            /* separate user: who is swept away at the end; else 0 */
    int question, answer, output; /* our ends of its pipes: fd 3, fd 4, and stdout with stderr */
} lab_process;

/* Starts the command. False, with the reason, if it cannot be started. */
bool lab_confine_start(lab_process *process, const lab_command *command, char *why, size_t size);

/* Gives it that long to end by itself. */
void lab_confine_wait(const lab_process *process, double seconds);

/* Ends it and everything that it started, closes the pipes, and returns its wait status. */
int lab_confine_stop(lab_process *process);

/* Could the separate user read this file or folder? */
bool lab_confine_can_read(const char *path);

#endif
